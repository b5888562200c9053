//! The compression of lists, for clients that ask for it by `accept-encoding`. It is done on the threads that read lists, and never
//! by those that answer requests, as a layer around the router would.

use std::io::{self, Write as _};
use std::mem;

use axum::http::header::ACCEPT_ENCODING;
use axum::http::{HeaderMap, HeaderValue};
use flate2::write::GzEncoder;
use zstd::stream::write::Encoder as ZstdEncoder;

/// Number of bytes that an encoder has at the most, beside what it returns.
pub const ENCODER_BYTES: usize = 1 << 20;

/// The size in bytes below which a body is sent as it is: it fits into one packet anyway.
const WORTH_COMPRESSING: usize = 1024;

/// The window of zstd's encoder, as a power of two: it bounds what the encoder, and each client, must hold.
const ZSTD_WINDOW_LOG: u32 = 18;

/// The coding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCoding {
    Identity,
    Gzip,
    Zstd,
}

impl ContentCoding {
    /// Returns the coding that a request prefers; zstd before gzip where it prefers none, and none unless it asks for one.
    pub fn wanted_by(headers: &HeaderMap) -> ContentCoding {
        let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let mut best = (ContentCoding::Identity, 0);
        for item in values.flat_map(|value| value.split(',')) {
            let Some((coding, weight)) = weighed(item) else { continue };
            let wins = weight > best.1 || weight == best.1 && coding == ContentCoding::Zstd;
            if weight > 0 && coding != ContentCoding::Identity && wins {
                best = (coding, weight);
            }
        }
        best.0
    }

    /// Returns the value of `content-encoding`; `None` for a body as it is.
    pub fn header(self) -> Option<HeaderValue> {
        match self {
            ContentCoding::Identity => None,
            ContentCoding::Gzip => Some(HeaderValue::from_static("gzip")),
            ContentCoding::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }

    /// Returns the coding for a body that begins with so many bytes, and has more unless it is whole.
    pub fn for_body(self, len: usize, is_whole: bool) -> ContentCoding {
        if is_whole && len < WORTH_COMPRESSING { ContentCoding::Identity } else { self }
    }
}

/// Parses one item of `accept-encoding`: a coding that is known, and its weight in thousandths.
fn weighed(item: &str) -> Option<(ContentCoding, u32)> {
    let mut parts = item.split(';').map(str::trim);
    let coding = match parts.next()?.to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => ContentCoding::Gzip,
        "zstd" => ContentCoding::Zstd,
        "identity" => ContentCoding::Identity,
        // Whoever accepts anything has not asked for a coding.
        _ => return None,
    };
    let weight = match parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="))) {
        Some(weight) => weight.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight))?,
        None => 1.0,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 1000")]
    Some((coding, (weight * 1000.0).round() as u32))
}

/// An encoder of one body, piece by piece.
pub enum Compressor {
    Identity,
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
}

impl Compressor {
    /// # Errors
    /// Fails if zstd has no memory for it.
    pub fn new(coding: ContentCoding) -> io::Result<Compressor> {
        Ok(match coding {
            ContentCoding::Identity => Compressor::Identity,
            ContentCoding::Gzip => Compressor::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::fast())),
            ContentCoding::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new(), 1)?;
                encoder.window_log(ZSTD_WINDOW_LOG)?;
                Compressor::Zstd(encoder)
            }
        })
    }

    /// Encodes a piece. All of it can be decoded from what has been returned by then.
    ///
    /// # Errors
    /// Fails if zstd has no memory for it.
    pub fn piece(&mut self, piece: Vec<u8>, is_last: bool) -> io::Result<Vec<u8>> {
        match self {
            Compressor::Identity => return Ok(piece),
            Compressor::Gzip(encoder) => encoder.write_all(&piece)?,
            Compressor::Zstd(encoder) => encoder.write_all(&piece)?,
        }
        if is_last {
            return match mem::replace(self, Compressor::Identity) {
                Compressor::Identity => Ok(Vec::new()),
                Compressor::Gzip(encoder) => encoder.finish(),
                Compressor::Zstd(encoder) => encoder.finish(),
            };
        }
        match self {
            Compressor::Identity => Ok(Vec::new()),
            Compressor::Gzip(encoder) => {
                encoder.flush()?;
                Ok(mem::take(encoder.get_mut()))
            }
            Compressor::Zstd(encoder) => {
                encoder.flush()?;
                Ok(mem::take(encoder.get_mut()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_body_is_compressed_only_for_those_who_ask() {
        for (values, expected) in [
            (&[][..], ContentCoding::Identity),
            (&["gzip"], ContentCoding::Gzip),
            (&["gzip, deflate, br"], ContentCoding::Gzip),
            (&["gzip, deflate, br, zstd"], ContentCoding::Zstd),
            (&["zstd;q=0.5, gzip"], ContentCoding::Gzip),
            (&["zstd;q=0.5", "GZIP;q=0.4"], ContentCoding::Zstd),
            (&["gzip;q=0, identity"], ContentCoding::Identity),
            (&["*", "identity;q=0"], ContentCoding::Identity),
            (&["gzip;q=2, br, ,;, é"], ContentCoding::Identity),
        ] {
            let headers = values
                .iter()
                .map(|value| (ACCEPT_ENCODING, HeaderValue::from_bytes(value.as_bytes()).unwrap()))
                .collect();
            assert_eq!(ContentCoding::wanted_by(&headers), expected, "{values:?}");
        }
    }

    fn decoded(coding: ContentCoding, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        match coding {
            ContentCoding::Identity => text.extend_from_slice(bytes),
            ContentCoding::Gzip => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).unwrap()),
            ContentCoding::Zstd => text = zstd::decode_all(bytes).unwrap(),
        }
        text
    }

    proptest! {
        #[test]
        fn any_body_comes_back(pieces in proptest::collection::vec("(?s).{0,200}", 1..6)) {
            for coding in [ContentCoding::Identity, ContentCoding::Gzip, ContentCoding::Zstd] {
                let mut compressor = Compressor::new(coding).unwrap();
                let mut sent = Vec::new();
                for (at, piece) in pieces.iter().enumerate() {
                    sent.extend(compressor.piece(piece.clone().into_bytes(), at + 1 == pieces.len()).unwrap());
                }
                prop_assert_eq!(decoded(coding, &sent), pieces.concat().into_bytes());
            }
        }
    }
}
