//! Counts and hashes bytes as they pass. The hash is the one that `sha256sum` prints.

use std::io::{self, Read, Write};

use itertools::Itertools as _;
use sha2::{Digest as _, Sha256};

/// A reader or writer that passes everything on to another, and counts and hashes it on the way.
pub struct ChecksumStream<T> {
    inner: T,
    bytes: u64,
    hash: Sha256,
}

impl<T> ChecksumStream<T> {
    /// Wraps a reader or writer through which nothing has passed yet.
    pub fn new(inner: T) -> ChecksumStream<T> {
        ChecksumStream { inner, bytes: 0, hash: Sha256::new() }
    }

    /// Returns the wrapped reader or writer.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// Number of bytes that have passed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// SHA-256 of those bytes, in hexadecimal digits.
    pub fn sha256(&self) -> String {
        format!("{:02x}", self.hash.clone().finalize().iter().format(""))
    }

    fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }
}

impl<R: Read> Read for ChecksumStream<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.update(&into[..count]);
        Ok(count)
    }
}

impl<W: Write> Write for ChecksumStream<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
