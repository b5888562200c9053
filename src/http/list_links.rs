//! The `link` header of a list (RFC 8288): the addresses of its other pages. They are queries only, relative to the address that
//! was asked, so that they hold behind a gateway that shows the API under another path.

use axum::extract::Query;
use axum::http::{HeaderValue, Uri};
use percent_encoding::{CONTROLS, utf8_percent_encode};

use super::list_query::{ListParameters, Start};
use crate::store::Cursor;

/// The longest query string that a list links with. Clients refuse headers that are too long.
const QUERY_MAX: usize = 1500;

/// Makes the header for a page of a list with so many views, after which the page at `next` begins. A list that is read by offsets
/// links to offsets, and one that is read by cursors to cursors.
pub fn header(uri: &Uri, parameters: &ListParameters, total: u64, next: Option<&Cursor>) -> Option<HeaderValue> {
    let query = uri.query().unwrap_or_default();
    // Without its cursor a query may be short enough; one of thousands of parameters is not even taken apart.
    if query.len() > 4 * QUERY_MAX {
        return None;
    }
    let query = unpaged(query);
    if query.len() > QUERY_MAX {
        return None;
    }
    let mut links = Vec::new();
    let mut link = |relation: &str, page: &str| {
        let separator = if query.is_empty() { "" } else { "&" };
        links.push(format!("<?{query}{separator}{page}>; rel=\"{relation}\""));
    };
    match &parameters.start {
        Start::Offset(offset) => {
            let (offset, limit) = (*offset as u64, parameters.limit as u64);
            link("first", "offset=0");
            if offset > 0 {
                link("prev", &format!("offset={}", offset.min(total).saturating_sub(limit)));
            }
            if offset.saturating_add(limit) < total {
                link("next", &format!("offset={}", offset + limit));
            }
            link("last", &format!("offset={}", total.saturating_sub(1) / limit * limit));
        }
        Start::First | Start::After(_) => {
            link("first", "cursor=");
            if let Some(next) = next {
                link("next", &format!("cursor={}", next.to_text()));
            }
        }
    }
    // A query that was parsed holds no `>`, which would end the address.
    HeaderValue::from_bytes(links.join(", ").as_bytes()).ok()
}

/// Returns a query string without the parameters that choose a page. The others stay as they were written, but for letters that are not
/// ASCII: clients differ in how they read those in a header.
fn unpaged(query: &str) -> String {
    let is_kept = |pair: &&str| {
        let uri = Uri::builder().path_and_query(format!("/?{pair}")).build().unwrap_or_default();
        let read =
            Query::<Vec<(String, String)>>::try_from_uri(&uri).map(|Query(pairs)| pairs).unwrap_or_default();
        read.iter().all(|(name, _)| name != "offset" && name != "cursor")
    };
    let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).filter(is_kept).collect();
    utf8_percent_encode(&pairs.join("&"), CONTROLS).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::store::Sort;

    fn links(query: &str, total: u64, next: Option<&Cursor>) -> String {
        let uri: Uri = format!("/optimizations?{query}").parse().unwrap();
        let parameters = ListParameters::of(&uri).unwrap();
        header(&uri, &parameters, total, next).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn pages_by_offset_link_to_the_others() {
        for (query, total, expected) in [
            ("", 0, "<?offset=0>; rel=\"first\", <?offset=0>; rel=\"last\""),
            (
                "status=failed&limit=10",
                25,
                "<?status=failed&limit=10&offset=0>; rel=\"first\", <?status=failed&limit=10&offset=10>; rel=\"next\", \
                 <?status=failed&limit=10&offset=20>; rel=\"last\"",
            ),
            (
                "offset=10&limit=10&o%66fset=10&q=%3E",
                20,
                "<?limit=10&q=%3E&offset=0>; rel=\"first\", <?limit=10&q=%3E&offset=0>; rel=\"prev\", \
                 <?limit=10&q=%3E&offset=10>; rel=\"last\"",
            ),
            (
                "q=é&o=%C3%A9;,'",
                0,
                "<?q=%C3%A9&o=%C3%A9;,'&offset=0>; rel=\"first\", <?q=%C3%A9&o=%C3%A9;,'&offset=0>; rel=\"last\"",
            ),
            (
                "limit=10&offset=500",
                25,
                "<?limit=10&offset=0>; rel=\"first\", <?limit=10&offset=15>; rel=\"prev\", \
                 <?limit=10&offset=20>; rel=\"last\"",
            ),
        ] {
            assert_eq!(links(query, total, None), expected, "{query}");
        }
    }

    #[test]
    fn pages_by_cursor_link_to_the_next_one() {
        let cursor = Cursor {
            sort: Sort::default(),
            created_at: Timestamp::default(),
            name_key: None,
            id: "a/b".to_owned(),
        };
        assert_eq!(links("kind=a+b&cursor=", 9, None), "<?kind=a+b&cursor=>; rel=\"first\"");
        let text = cursor.to_text();
        let expected = format!("<?cursor=>; rel=\"first\", <?cursor={text}>; rel=\"next\"");
        assert_eq!(links(&format!("cursor={text}"), 9, Some(&cursor)), expected);
    }

    #[test]
    fn a_query_that_is_too_long_is_not_repeated() {
        let uri: Uri = format!("/optimizations?q={}", "n".repeat(QUERY_MAX)).parse().unwrap();
        assert_eq!(header(&uri, &ListParameters::default(), 9, None), None);
    }
}
