//! Decompresses batches of records in librdkafka's place, so that what comes out has a bound. librdkafka itself takes what a
//! gzip or LZ4 batch becomes, whatever that is (389 kB on the wire were seen to become 400 MB, and 1 MB can become 1 GB),
//! and refuses a zstd batch above `receive.message.max.bytes`, so that its partition can never be read on.
//!
//! A batch within [`BATCH_LIMIT`] is given as it is. Of a larger one, records are cut short until the rest fits; each of
//! those says so (see [`cut_from`]), keeps its position, and becomes a dead letter.
//!
//! The linker puts these functions into the place of librdkafka's (`--wrap`, see `build.rs`), on Linux; hence the unsafe code here.
//! A batch in snappy is left to librdkafka: it grows to 22 times its size at the most.

#![expect(unsafe_code, reason = "the linker calls these functions in the place of librdkafka's")]

mod batch;

use std::ffi::{c_char, c_int, c_void};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdkafka::bindings::rd_kafka_resp_err_t;

use batch::{Chunks, within};
pub use batch::{cut_from, has_cut};

/// How many bytes a batch of records may become: 128 MiB.
pub const BATCH_LIMIT: usize = 128 << 20;

/// How many bytes of LZ4 a byte can become.
const LZ4_RATIO: usize = 255;

static LIMIT: AtomicUsize = AtomicUsize::new(BATCH_LIMIT);

/// Lets batches become as large as they are, from now on, in this process: for an archive, which must have every record
/// whole.
pub fn lift_limit() {
    LIMIT.store(usize::MAX, Ordering::Relaxed);
}

unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_void;

    fn __real_rd_kafka_lz4_decompress(
        broker: *mut c_void,
        proper_hc: c_int,
        offset: i64,
        compressed: *mut c_char,
        compressed_len: usize,
        out: *mut *mut c_void,
        out_len: *mut usize,
    ) -> rd_kafka_resp_err_t;
}

/// Stands for librdkafka's `rd_gz_decompress`.
///
/// # Safety
/// As for that: `compressed` has `compressed_len` bytes, and `out_len` may be written.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_rd_gz_decompress(
    compressed: *const c_void,
    compressed_len: c_int,
    out_len: *mut u64,
) -> *mut c_void {
    // SAFETY: librdkafka gives the length with the pointer, and keeps the bytes during the call.
    let compressed =
        unsafe { slice::from_raw_parts(compressed.cast::<u8>(), usize::try_from(compressed_len).unwrap_or(0)) };
    match decompress("gzip", || Ok(flate2::bufread::GzDecoder::new(compressed))) {
        Some((begin, len)) => {
            // SAFETY: librdkafka's own variable.
            unsafe { *out_len = len as u64 };
            begin
        }
        None => std::ptr::null_mut(),
    }
}

/// Stands for librdkafka's `rd_kafka_zstd_decompress`.
///
/// # Safety
/// As for that: `compressed` has `compressed_len` bytes, and `out` and `out_len` may be written.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_rd_kafka_zstd_decompress(
    _: *mut c_void,
    compressed: *mut c_char,
    compressed_len: usize,
    out: *mut *mut c_void,
    out_len: *mut usize,
) -> rd_kafka_resp_err_t {
    // SAFETY: librdkafka gives the length with the pointer, and keeps the bytes during the call.
    let compressed = unsafe { slice::from_raw_parts(compressed.cast::<u8>(), compressed_len) };
    let decompressed = decompress("zstd", || zstd::stream::read::Decoder::with_buffer(compressed));
    // SAFETY: librdkafka's own variables.
    unsafe { give(decompressed, out, out_len) }
}

/// Stands for librdkafka's `rd_kafka_lz4_decompress`, which it calls for what cannot become too much: nearly always.
///
/// # Safety
/// As for that: `compressed` has `compressed_len` bytes, and `out` and `out_len` may be written.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_rd_kafka_lz4_decompress(
    broker: *mut c_void,
    proper_hc: c_int,
    offset: i64,
    compressed: *mut c_char,
    compressed_len: usize,
    out: *mut *mut c_void,
    out_len: *mut usize,
) -> rd_kafka_resp_err_t {
    // Frames of the broken kind (`proper_hc` is 0) are older than any broker that is still supported.
    if proper_hc == 0 || compressed_len.saturating_mul(LZ4_RATIO) <= LIMIT.load(Ordering::Relaxed) {
        // SAFETY: the arguments are librdkafka's own.
        return unsafe {
            __real_rd_kafka_lz4_decompress(broker, proper_hc, offset, compressed, compressed_len, out, out_len)
        };
    }
    // SAFETY: librdkafka gives the length with the pointer, and keeps the bytes during the call.
    let compressed = unsafe { slice::from_raw_parts(compressed.cast::<u8>(), compressed_len) };
    let decompressed = decompress("LZ4", || Ok(lz4_flex::frame::FrameDecoder::new(compressed)));
    // SAFETY: librdkafka's own variables.
    unsafe { give(decompressed, out, out_len) }
}

/// # Safety
/// `out` and `out_len` may be written.
unsafe fn give(
    decompressed: Option<(*mut c_void, usize)>,
    out: *mut *mut c_void,
    out_len: *mut usize,
) -> rd_kafka_resp_err_t {
    let Some((begin, len)) = decompressed else {
        return rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__BAD_COMPRESSION;
    };
    // SAFETY: the caller's promise.
    unsafe {
        *out = begin;
        *out_len = len;
    }
    rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Decompresses what `open` begins to read, once or twice. `None` where that fails, having said why.
fn decompress<R: Read>(codec: &str, open: impl Fn() -> io::Result<R>) -> Option<(*mut c_void, usize)> {
    // Nothing may unwind into librdkafka.
    let decompressed = catch_unwind(AssertUnwindSafe(|| within(LIMIT.load(Ordering::Relaxed), open)));
    match decompressed.unwrap_or_else(|_| Err(io::Error::other("it panicked"))) {
        Ok(chunks) => to_c(chunks),
        Err(error) => {
            tracing::error!("a batch of records cannot be decompressed ({codec}): {error}");
            None
        }
    }
}

/// Copies into memory that librdkafka frees. With a zero behind it, as librdkafka's own has.
fn to_c(chunks: Chunks) -> Option<(*mut c_void, usize)> {
    let len = chunks.len();
    // SAFETY: any size may be asked for.
    let begin = unsafe { malloc(len + 1) }.cast::<u8>();
    if begin.is_null() {
        return None;
    }
    let mut at = 0;
    for chunk in chunks {
        // SAFETY: together the chunks have `len` bytes, and as many and one are there.
        unsafe { begin.add(at).copy_from_nonoverlapping(chunk.as_ptr(), chunk.len()) };
        at += chunk.len();
    }
    // SAFETY: the last byte.
    unsafe { begin.add(len).write(0) };
    Some((begin.cast(), len))
}

#[cfg(test)]
mod tests;
