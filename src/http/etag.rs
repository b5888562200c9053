//! Entity tags: the header with a response's version, and the check whether a client has that version already.

use axum::http::header::IF_NONE_MATCH;
use axum::http::{HeaderMap, HeaderValue};

use super::hex;

/// Makes the header's value, a strong tag: sixteen hexadecimal digits in quotes.
pub fn header(etag: u64) -> HeaderValue {
    HeaderValue::from_bytes(&quoted(etag)).expect("hexadecimal digits and quotes are a valid header value")
}

/// Makes the header's value, a weak tag: what it belongs to may be compressed in several ways.
pub fn weak_header(etag: u64) -> HeaderValue {
    let value = [&b"W/"[..], &quoted(etag)].concat();
    HeaderValue::from_bytes(&value).expect("hexadecimal digits and quotes are a valid header value")
}

/// Returns true if `If-None-Match` names this version. Without that header nothing matches, so no 304 is ever sent to a
/// client that did not ask for one.
pub fn client_has(headers: &HeaderMap, etag: u64) -> bool {
    // The header is looked up by name first: most requests carry none, and an iterator costs more than a miss.
    if !headers.contains_key(IF_NONE_MATCH) {
        return false;
    }
    let wanted = quoted(etag);
    headers.get_all(IF_NONE_MATCH).iter().any(|value| names(value.as_bytes(), &wanted))
}

fn quoted(etag: u64) -> [u8; 18] {
    let mut quoted = [b'"'; 18];
    quoted[1..17].copy_from_slice(&hex::of_u64(etag));
    quoted
}

/// Returns true if a list of tags (RFC 9110, 13.1.2) holds this one. The comparison is weak, as it must be here: `W/` is
/// skipped. Everything after the first text that is not a tag is ignored.
fn names(list: &[u8], wanted: &[u8; 18]) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let mut rest = list;
    loop {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b",") {
            rest = after;
            continue;
        }
        let tag = rest.strip_prefix(b"W/").unwrap_or(rest);
        let Some(opaque) = tag.strip_prefix(b"\"") else { return false };
        let Some(end) = opaque.iter().position(|&byte| byte == b'"') else { return false };
        if &tag[..end + 2] == wanted {
            return true;
        }
        rest = &opaque[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn if_none_match(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (IF_NONE_MATCH, value.parse().unwrap())).collect()
    }

    #[test]
    fn a_tag_is_sixteen_digits_in_quotes() {
        assert_eq!(header(0xAB), "\"00000000000000ab\"");
        assert_eq!(header(u64::MAX), "\"ffffffffffffffff\"");
        assert_eq!(weak_header(0xAB), "W/\"00000000000000ab\"");
    }

    #[test]
    fn a_client_has_what_its_header_names() {
        let mine = "\"00000000000000ab\"";
        for (values, expected) in [
            (vec![], false),
            (vec![""], false),
            (vec!["*"], true),
            (vec![" * "], true),
            (vec![mine], true),
            (vec!["W/\"00000000000000ab\""], true),
            (vec!["\"a\", \"00000000000000ab\""], true),
            (vec!["\"a\",\"00000000000000ab\",W/\"b\""], true),
            (vec![", ,\"00000000000000ab\""], true),
            (vec!["\"a, \\\" \"", mine], true),
            (vec!["\"a,b\", W/\"00000000000000ab\""], true),
            (vec!["\"00000000000000ac\""], false),
            (vec!["\"x00000000000000ab\""], false),
            (vec!["00000000000000ab"], false),
            (vec!["\"00000000000000ab"], false),
            (vec!["\"\""], false),
            (vec!["w/\"00000000000000ab\""], false),
        ] {
            assert_eq!(client_has(&if_none_match(&values), 0xAB), expected, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn any_tag_is_found_in_any_list_around_it(etag: u64, before in "(W/)?\"[!#-~]{0,9}\"", weak: bool) {
            let own = format!("{}\"{etag:016x}\"", if weak { "W/" } else { "" });
            let list = format!("{before}, {own} ,{before}");
            prop_assert!(client_has(&if_none_match(&[&list]), etag));
        }

        #[test]
        fn no_header_makes_it_panic(value in "[ -~]{0,40}", etag: u64) {
            let _ = client_has(&if_none_match(&[&value]), etag);
        }
    }
}
