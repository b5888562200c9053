//! Counts and hashes bytes on their way, with what `sha256sum` prints.

use std::io::{self, Read, Write};

use itertools::Itertools as _;
use sha2::{Digest as _, Sha256};

pub struct Checksummed<T> {
    inner: T,
    bytes: u64,
    hash: Sha256,
}

impl<T> Checksummed<T> {
    pub fn new(inner: T) -> Checksummed<T> {
        Checksummed { inner, bytes: 0, hash: Sha256::new() }
    }

    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// How many bytes have passed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Of those bytes, in hexadecimal digits.
    pub fn sha256(&self) -> String {
        format!("{:02x}", self.hash.clone().finalize().iter().format(""))
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }
}

impl<R: Read> Read for Checksummed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.pass(&into[..count]);
        Ok(count)
    }
}

impl<W: Write> Write for Checksummed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.pass(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
