//! The correlation id, which ties a response to the caller's logs: the request's own if it can be echoed, else a new one.
//! It must stay cheap, since every request needs one.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::hex;

pub static CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// Number of bytes that an echoed id may have.
const LONGEST: usize = 128;

/// Returns the correlation id for the response to a request with these headers.
pub fn of(headers: &HeaderMap) -> HeaderValue {
    match headers.get(&CORRELATION_ID) {
        Some(sent) if is_sane(sent.as_bytes()) => sent.clone(),
        _ => fresh(),
    }
}

/// Returns true if an id can be echoed as it is without breaking a log line or a header.
fn is_sane(id: &[u8]) -> bool {
    !id.is_empty() && id.len() <= LONGEST && id.iter().all(u8::is_ascii_graphic)
}

thread_local! {
    static NEXT: Cell<(u64, u64)> = Cell::new((random(), random()));
}

/// Makes a new id of thirty-two hexadecimal digits: a random half for each thread and a half that counts. It is unique, and no
/// secret.
fn fresh() -> HeaderValue {
    let (thread, count) = NEXT.get();
    NEXT.set((thread, count.wrapping_add(1)));
    let mut id = [0; 32];
    id[..16].copy_from_slice(&hex::of_u64(thread));
    id[16..].copy_from_slice(&hex::of_u64(count));
    HeaderValue::from_bytes(&id).expect("hexadecimal digits are a valid header value")
}

/// Returns a random number, which is no secret. It comes from the standard library's hasher, whose keys are random and differ with each call.
pub fn random() -> u64 {
    RandomState::new().hash_one(std::thread::current().id())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn of_value(value: &[u8]) -> HeaderValue {
        of(&HeaderMap::from_iter([(CORRELATION_ID.clone(), HeaderValue::from_bytes(value).unwrap())]))
    }

    #[test]
    fn a_sane_id_comes_back() {
        for id in ["a", "0192f0c1-9a3b", "trace:{1}/span;2", &"x".repeat(128)] {
            assert_eq!(of_value(id.as_bytes()), id);
        }
    }

    #[test]
    fn any_other_is_replaced() {
        for id in ["", "two words", "tab\there", "caf\u{e9}", &"x".repeat(129)] {
            let replaced = of_value(id.as_bytes());
            assert_ne!(replaced, id);
            assert!(is_sane(replaced.as_bytes()));
        }
    }

    #[test]
    fn new_ids_differ_within_and_between_threads() {
        let some = || (0..100).map(|_| fresh()).collect::<Vec<_>>();
        let other = std::thread::spawn(some).join().unwrap();
        let distinct: HashSet<HeaderValue> = some().into_iter().chain(other).collect();
        assert_eq!(distinct.len(), 200);
    }
}
