//! Requests from pages of other origins (CORS, as in the Fetch standard): whether a page may read an answer, and which headers of it.
//! A request that comes from no page is answered as if this did not exist. No answer allows cookies, as there are none.

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;

use crate::origins::OriginPattern;

/// The methods that a page may use.
static METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST");

/// The time for which a browser may remember the answer to a preflight, in seconds. Browsers have lower bounds of their own.
static MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The headers that a page may read in every answer, besides those that begin with [`OWN_PREFIX`].
const EXPOSED: &str = "etag, link, retry-after, server-timing, traceparent, x-correlation-id";

/// The beginning of the names of optview's own headers.
const OWN_PREFIX: &str = "x-optview-";

/// The origins whose pages may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossOrigin {
    patterns: Vec<OriginPattern>,
    allows_any: bool,
}

/// The decision on one request, which its answer carries out.
#[derive(Clone, Debug)]
pub struct CrossOriginGrant {
    /// The value of `access-control-allow-origin`; `None` for a page that may not read.
    origin: Option<HeaderValue>,
    /// The headers that a preflight asks for; `None` if the request is no preflight.
    preflight: Option<HeaderValue>,
    /// True if the answer would differ for another origin.
    varies: bool,
}

impl CrossOrigin {
    /// Makes the rule of some patterns; `None` if there are none.
    pub fn new(patterns: Vec<OriginPattern>) -> Option<CrossOrigin> {
        let allows_any = patterns.contains(&OriginPattern::Any);
        (!patterns.is_empty()).then_some(CrossOrigin { patterns, allows_any })
    }

    /// Decides on a request; `None` if nothing has to be added to its answer.
    pub fn grant(&self, method: &Method, headers: &HeaderMap) -> Option<CrossOriginGrant> {
        let varies = !self.allows_any;
        let Some(origin) = headers.get(ORIGIN) else {
            // A cache must not give this answer to a page.
            return varies.then_some(CrossOriginGrant { origin: None, preflight: None, varies });
        };
        let granted = match origin.to_str() {
            _ if self.allows_any => Some(HeaderValue::from_static("*")),
            Ok(text) if self.patterns.iter().any(|pattern| pattern.allows(text)) => Some(origin.clone()),
            _ => None,
        };
        let is_preflight = method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let preflight = is_preflight
            .then(|| headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned().unwrap_or(HeaderValue::from_static("")));
        Some(CrossOriginGrant { origin: granted, preflight, varies })
    }
}

impl CrossOriginGrant {
    /// Adds the decision to the answer.
    pub fn add_to(self, mut response: Response) -> Response {
        let is_preflight = self.preflight.is_some();
        if is_preflight {
            // Whatever the path, so that the page sees the answer to the request itself.
            *response.status_mut() = StatusCode::NO_CONTENT;
            *response.body_mut() = Body::empty();
        }
        let exposed = exposed_headers(response.headers());
        let headers = response.headers_mut();
        if self.varies {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if is_preflight {
            headers.remove(CONTENT_TYPE);
            headers.remove(CONTENT_LENGTH);
            headers.append(VARY, HeaderValue::from_static("access-control-request-headers"));
        }
        let Some(origin) = self.origin else { return response };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        match self.preflight {
            Some(asked) => {
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS.clone());
                headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE.clone());
                if !asked.is_empty() {
                    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked);
                }
            }
            None => {
                if let Ok(exposed) = HeaderValue::try_from(exposed) {
                    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
                }
            }
        }
        response
    }
}

/// Returns the names of the headers that a page may read, as one list.
fn exposed_headers(headers: &HeaderMap) -> String {
    let own = headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with(OWN_PREFIX));
    own.fold(EXPOSED.to_owned(), |list, name| list + ", " + name)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn rule(patterns: &[&str]) -> CrossOrigin {
        CrossOrigin::new(patterns.iter().map(|text| OriginPattern::parse(text).unwrap()).collect()).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|&(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    /// Returns the answer to a request as a page would see it.
    fn answer(rule: &CrossOrigin, method: Method, pairs: &[(&'static str, &str)]) -> Response {
        let mut response = Response::new(Body::from("{}"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        response.headers_mut().insert("x-optview-state", HeaderValue::from_static("live"));
        match rule.grant(&method, &headers(pairs)) {
            Some(grant) => grant.add_to(response),
            None => response,
        }
    }

    fn all(response: &Response, name: &str) -> Vec<String> {
        response.headers().get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    const ALLOWED: (&str, &str) = ("origin", "https://app.example.com");

    #[test]
    fn a_page_that_is_allowed_reads_the_answer_and_its_headers_and_another_does_not() {
        let rule = rule(&["https://app.example.com", "https://*.example.org"]);
        for (origin, is_allowed) in [
            (Some("https://app.example.com"), true),
            (Some("https://a.b.example.org"), true),
            (Some("https://evil.com"), false),
            (Some("null"), false),
            (None, false),
        ] {
            let pairs: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
            let response = answer(&rule, Method::GET, &pairs);
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "the answer itself is the same");
            assert_eq!(all(&response, "vary"), ["origin"], "a cache keeps them apart");
            let expected: Vec<&str> = origin.filter(|_| is_allowed).into_iter().collect();
            assert_eq!(all(&response, "access-control-allow-origin"), expected);
            let exposed = all(&response, "access-control-expose-headers").concat();
            for name in ["etag", "x-correlation-id", "x-optview-state"] {
                assert_eq!(exposed.split(", ").any(|one| one == name), is_allowed, "{name}");
            }
            assert!(all(&response, "access-control-allow-credentials").is_empty());
        }
    }

    #[test]
    fn where_every_page_may_read_no_answer_depends_on_the_origin() {
        let rule = rule(&["https://app.example.com", "*"]);
        let response = answer(&rule, Method::GET, &[("origin", "null")]);
        assert_eq!(all(&response, "access-control-allow-origin"), ["*"]);
        assert!(all(&response, "vary").is_empty());
        assert!(rule.grant(&Method::GET, &HeaderMap::new()).is_none());
    }

    #[test]
    fn a_preflight_is_answered_whatever_the_path_with_what_it_asks_for() {
        let rule = rule(&["https://app.example.com"]);
        let asked = ("access-control-request-headers", "authorization,x-organization-id");
        let preflight = [ALLOWED, ("access-control-request-method", "GET"), asked];
        let response = answer(&rule, Method::OPTIONS, &preflight);
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(all(&response, "access-control-allow-origin"), [ALLOWED.1]);
        assert_eq!(all(&response, "access-control-allow-headers"), [asked.1]);
        assert_eq!(all(&response, "access-control-allow-methods"), ["GET, HEAD, POST"]);
        assert_eq!(all(&response, "access-control-max-age"), ["7200"]);
        assert_eq!(all(&response, "vary"), ["origin", "access-control-request-headers"]);
        let evil = [("origin", "https://evil.com"), preflight[1], asked];
        let response = answer(&rule, Method::OPTIONS, &evil);
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert!(
            response.headers().keys().all(|name| !name.as_str().starts_with("access-control-")),
            "{response:?}"
        );
        // OPTIONS without a request's method is a request of its own.
        assert_eq!(answer(&rule, Method::OPTIONS, &[ALLOWED]).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn without_a_pattern_there_is_no_rule() {
        assert_eq!(CrossOrigin::new(Vec::new()), None);
    }
}
