//! The header `x-optview-ignored`, which names the parameters of a request that its resource does not know. Without it
//! `?statuss=failed` would look as if it worked.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::endpoint::Answer;
use super::list_query::ignored_of;

static IGNORED: HeaderName = HeaderName::from_static("x-optview-ignored");

/// The bytes of a name that are written as escapes, as in a query string: whatever could be taken for the end of a name.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b',').add(b'%').add(b'"');

/// The most bytes of the header's value. Clients refuse headers that are too long.
const VALUE_MAX: usize = 1024;

/// Adds the header, unless every parameter is known. Names that do not fit are replaced by `...`.
pub fn name_in(headers: &mut HeaderMap, ignored: &[String]) {
    let mut value = String::new();
    for name in ignored {
        let name = utf8_percent_encode(name, ESCAPED).to_string();
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

/// Adds the header to an answer of a resource that knows only these parameters, now or when it has been waited for.
pub fn name_in_answer(answer: Answer, uri: &Uri, known: &[&str]) -> Answer {
    if uri.query().is_none() {
        return answer;
    }
    let ignored = ignored_of(uri, known);
    match answer {
        Answer::Now(mut response) => {
            name_in(response.headers_mut(), &ignored);
            Answer::Now(response)
        }
        Answer::Later(pending) => Answer::Later(Box::pin(async move {
            let mut response = pending.await?;
            name_in(response.headers_mut(), &ignored);
            Ok(response)
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
