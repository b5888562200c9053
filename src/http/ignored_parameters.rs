//! The header `x-optview-ignored`, which names what a request asks for in vain: the parameters that its resource does not know, and those
//! of which all values but the last are left out. Without it `?statuss=failed` and `?kind=a&kind=b` would look as if they worked.

use std::collections::HashSet;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use itertools::Itertools as _;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::query_string::pairs;

static IGNORED: HeaderName = HeaderName::from_static("x-optview-ignored");

/// The bytes of a name that are written as escapes, as in a query string: whatever could be taken for the end of a name.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b',').add(b'%').add(b'"');

/// The most bytes of the header's value. Clients refuse headers that are too long.
const VALUE_MAX: usize = 1024;

/// The names of the parameters that a resource knows.
#[derive(Clone, Copy, Debug)]
pub struct KnownParameters {
    /// Those that have one value, in groups. Of several values the last counts.
    pub single: &'static [&'static [&'static str]],
    /// Those that may be repeated.
    pub repeated: &'static [&'static str],
}

impl KnownParameters {
    /// The parameters of a resource that has none.
    pub const NONE: KnownParameters = KnownParameters { single: &[], repeated: &[] };

    /// Returns the names of the parameters of a request that change nothing, each once, in the order of the query string.
    fn ignored_of(self, uri: &Uri) -> Vec<String> {
        let mut singles = HashSet::new();
        let names = pairs(uri).into_iter().map(|(name, _)| name);
        let ignored =
            names.filter(|name| match self.single.iter().copied().flatten().find(|single| *single == name) {
                Some(single) => !singles.insert(*single),
                None => !name.is_empty() && !self.repeated.contains(&name.as_str()),
            });
        // An address has room for thousands of names, which must not be compared with each other.
        ignored.unique().collect()
    }
}

/// Adds the header to the answer to a request, unless each of its parameters counts.
pub fn name_ignored(headers: &mut HeaderMap, uri: &Uri, known: KnownParameters) {
    if uri.query().is_some() {
        name_in(headers, &known.ignored_of(uri));
    }
}

/// Adds names to the header. Those that do not fit are replaced by `...`.
pub fn name_in(headers: &mut HeaderMap, ignored: &[String]) {
    let named = headers.get(&IGNORED).and_then(|value| value.to_str().ok());
    let mut value = named.unwrap_or_default().to_owned();
    for name in ignored {
        let name = utf8_percent_encode(name, ESCAPED).to_string();
        if value.split(", ").any(|named| named == name) {
            continue;
        }
        let separator = if value.is_empty() { "" } else { ", " };
        if value.len() + separator.len() + name.len() > VALUE_MAX {
            value = format!("{value}{separator}...");
            break;
        }
        value = format!("{value}{separator}{name}");
    }
    // Escaped names are visible ASCII, which every header may hold.
    if let Some(value) = HeaderValue::try_from(value).ok().filter(|value| !value.is_empty()) {
        headers.insert(IGNORED.clone(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(query: &str) -> Vec<String> {
        let known = KnownParameters { single: &[&["kind"], &["limit"]], repeated: &["status"] };
        known.ignored_of(&format!("/optimizations?{query}").parse().unwrap())
    }

    #[test]
    fn parameters_that_are_not_known_or_given_in_vain_are_ignored() {
        for (query, expected) in [
            ("", &[][..]),
            ("kind=a&limit=1&status=failed&status=null", &[]),
            ("&&=&unknown=1&limits=0&unknown=2", &["unknown", "limits"]),
            ("kind=a&x=1&kind=b&kind=c", &["x", "kind"]),
            ("k%69nd=a&kind=a", &["kind"]),
        ] {
            assert_eq!(ignored(query), expected, "{query}");
        }
    }

    #[test]
    fn a_resource_adds_to_the_names_that_are_there() {
        let mut headers = HeaderMap::new();
        name_in(&mut headers, &["limitt".to_owned()]);
        name_ignored(&mut headers, &"/a?x=1&limitt=2&%20=2".parse().unwrap(), KnownParameters::NONE);
        assert_eq!(headers[&IGNORED], "limitt, x, %20");
    }

    fn header(ignored: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        name_in(&mut headers, &ignored.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        headers.get(&IGNORED).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn unknown_parameters_are_named_and_no_name_breaks_the_header() {
        assert_eq!(header(&[]), None);
        assert_eq!(header(&["statuss", "page"]).as_deref(), Some("statuss, page"));
        assert_eq!(
            header(&["a,b", "c d", "\r\nx: y", "100%"]).as_deref(),
            Some("a%2Cb, c%20d, %0D%0Ax:%20y, 100%25")
        );
        assert_eq!(header(&["ä"]).as_deref(), Some("%C3%A4"));
    }

    #[test]
    fn names_that_do_not_fit_are_left_out_and_it_shows() {
        let long = "n".repeat(VALUE_MAX - 6);
        assert_eq!(header(&["first", &long, "last"]), Some("first, ...".to_owned()));
        assert_eq!(header(&["n".repeat(VALUE_MAX + 1).as_str()]).as_deref(), Some("..."));
    }
}
