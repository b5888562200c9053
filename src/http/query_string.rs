//! The query string of a request, taken apart. No query string is a mistake by itself.

use axum::extract::Query;
use axum::http::Uri;

/// Returns the pairs of the query string. They are never refused: bytes that are not UTF-8 are replaced.
pub fn pairs(uri: &Uri) -> Vec<(String, String)> {
    Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default()
}
