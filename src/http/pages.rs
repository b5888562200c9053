//! The pages for people who open the read address in a browser: a live list of the newest optimizations at `/`, and the API's
//! reference at `/docs`. They are files in the binary, and load nothing from anywhere else. A page sees what its reader's key sees; it keeps
//! the key in its memory only.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::api::Api;
use super::endpoint::HandlerResult;
use super::errors::HttpError;
use super::json_response::APPLICATION_JSON;
use super::{etag, openapi};

/// A file of the pages.
struct PageFile {
    path: &'static str,
    content_type: HeaderValue,
    content: &'static [u8],
}

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const SCRIPT: HeaderValue = HeaderValue::from_static("text/javascript; charset=utf-8");
const STYLE: HeaderValue = HeaderValue::from_static("text/css; charset=utf-8");

static FILES: [PageFile; 5] = [
    PageFile { path: "/", content_type: HTML, content: include_bytes!("pages/home.html") },
    PageFile { path: "/docs", content_type: HTML, content: include_bytes!("pages/docs.html") },
    PageFile { path: "/pages/home.js", content_type: SCRIPT, content: include_bytes!("pages/home.js") },
    PageFile { path: "/pages/docs.js", content_type: SCRIPT, content: include_bytes!("pages/docs.js") },
    PageFile { path: "/pages/style.css", content_type: STYLE, content: include_bytes!("pages/style.css") },
];

/// Returns the paths of the pages and of their files.
pub fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|file| file.path)
}

/// The policy of the pages: only their own files, and requests to this address alone. Nobody may frame them.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// Answers with the file of a page.
pub fn file(_: &Api, request: &Request) -> HandlerResult {
    let path = request.uri().path();
    let file = FILES.iter().find(|file| file.path == path);
    let file = file.ok_or(HttpError::NotFound("there is nothing at this path: check the address"))?;
    let mut response = cached(request, Bytes::from_static(file.content), file.content_type.clone());
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

/// Answers with the description of the API.
#[expect(clippy::unnecessary_wraps, reason = "a resource's handler may fail")]
pub fn openapi(_: &Api, request: &Request) -> HandlerResult {
    Ok(cached(request, openapi::json(), APPLICATION_JSON.clone()))
}

/// Makes the response to a read of bytes that change only with the program: a 304 if the client has them.
fn cached(request: &Request, content: Bytes, content_type: HeaderValue) -> Response {
    let validator = xxh3_64(&content);
    let mut response = Response::new(Body::empty());
    if etag::client_has(request.headers(), validator) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Body::from(content);
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(ETAG, etag::header(validator));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_names_only_files_that_are_there() {
        for file in &FILES {
            let text = std::str::from_utf8(file.content).unwrap();
            for attribute in ["href=\"", "src=\""] {
                for named in text.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
                    let path = format!("/{}", named.trim_start_matches('.'));
                    let is_there = paths().any(|known| known == path)
                        || ["/openapi.json", "/readyz"].contains(&path.as_str())
                        || named == "data:,";
                    assert!(is_there, "{} names {named}", file.path);
                }
            }
            assert!(
                !text.contains("http://") && !text.contains("https://"),
                "{} names another address",
                file.path
            );
            // The policy lets no script and no style stand in a page itself.
            assert!(!text.contains("<script>") && !text.contains("style="), "{}", file.path);
        }
    }
}
