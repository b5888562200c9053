//! Decompresses batches of records in librdkafka's place, so that the result has a bound. librdkafka itself
//! accepts any size of an uncompressed gzip or LZ4 batch (389 kB on the wire were seen to become 400 MB, and 1 MB
//! can become 1 GB), and refuses a zstd batch above `receive.message.max.bytes`, so that its partition can never
//! be read on.
//!
//! A batch within [`BATCH_LIMIT`] is passed on unchanged. In a larger one, records are cut short until the rest
//! fits; each of those carries a mark (see [`cut_from`]), keeps its position, and becomes a dead letter.
//!
//! On Linux, the linker puts these functions into the place of librdkafka's (`--wrap`, see `build.rs`), which is
//! why this module has unsafe code. A snappy batch is left to librdkafka: it grows to at most 22 times its size.

#![expect(unsafe_code, reason = "the linker calls these functions in the place of librdkafka's")]

mod batch;

use std::ffi::{c_char, c_int, c_void};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdkafka::bindings::rd_kafka_resp_err_t;

use batch::{Chunks, read_within};
pub use batch::{cut_from, has_cut};

/// Maximum uncompressed size of a batch of records, in bytes: 128 MiB.
pub const BATCH_LIMIT: usize = 128 << 20;

/// Maximum number of bytes that one byte of LZ4 can become.
const LZ4_RATIO: usize = 255;

static LIMIT: AtomicUsize = AtomicUsize::new(BATCH_LIMIT);

/// Removes the limit for this process: an archive must contain every record whole.
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

/// Replaces librdkafka's `rd_gz_decompress`.
///
/// # Safety
/// The rules of the replaced function hold: `compressed` has `compressed_len` bytes, and `out_len` may be written.
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
            // SAFETY: the pointer is to librdkafka's own variable.
            unsafe { *out_len = len as u64 };
            begin
        }
        None => std::ptr::null_mut(),
    }
}

/// Replaces librdkafka's `rd_kafka_zstd_decompress`.
///
/// # Safety
/// The rules of the replaced function hold: `compressed` has `compressed_len` bytes, and `out` and `out_len` may
/// be written.
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
    // SAFETY: the pointers are to librdkafka's own variables.
    unsafe { hand_to_librdkafka(decompressed, out, out_len) }
}

/// Replaces librdkafka's `rd_kafka_lz4_decompress`, and calls it for a batch that cannot exceed the limit, which
/// nearly all are.
///
/// # Safety
/// The rules of the replaced function hold: `compressed` has `compressed_len` bytes, and `out` and `out_len` may
/// be written.
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
    // SAFETY: the pointers are to librdkafka's own variables.
    unsafe { hand_to_librdkafka(decompressed, out, out_len) }
}

/// # Safety
/// `out` and `out_len` may be written.
unsafe fn hand_to_librdkafka(
    decompressed: Option<(*mut c_void, usize)>,
    out: *mut *mut c_void,
    out_len: *mut usize,
) -> rd_kafka_resp_err_t {
    let Some((begin, len)) = decompressed else {
        return rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__BAD_COMPRESSION;
    };
    // SAFETY: the caller guarantees that both may be written.
    unsafe {
        *out = begin;
        *out_len = len;
    }
    rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Decompresses the data that `open` opens, in one pass or two. Logs an error and returns `None` if that fails.
fn decompress<R: Read>(codec: &str, open: impl Fn() -> io::Result<R>) -> Option<(*mut c_void, usize)> {
    // Nothing may unwind into librdkafka.
    let decompressed = catch_unwind(AssertUnwindSafe(|| read_within(LIMIT.load(Ordering::Relaxed), open)));
    match decompressed.unwrap_or_else(|_| Err(io::Error::other("it panicked"))) {
        Ok(chunks) => to_c(chunks),
        Err(error) => {
            tracing::error!("a batch of records cannot be decompressed ({codec}): {error}");
            None
        }
    }
}

/// Copies the chunks into memory that librdkafka frees, with a zero behind them, as librdkafka's own function
/// appends one.
fn to_c(chunks: Chunks) -> Option<(*mut c_void, usize)> {
    let len = chunks.len();
    // SAFETY: `malloc` accepts any size.
    let begin = unsafe { malloc(len + 1) }.cast::<u8>();
    if begin.is_null() {
        return None;
    }
    let mut at = 0;
    for chunk in chunks {
        // SAFETY: together the chunks have `len` bytes, and `len + 1` are allocated.
        unsafe { begin.add(at).copy_from_nonoverlapping(chunk.as_ptr(), chunk.len()) };
        at += chunk.len();
    }
    // SAFETY: the last of the `len + 1` bytes is written.
    unsafe { begin.add(len).write(0) };
    Some((begin.cast(), len))
}

#[cfg(test)]
mod tests;
