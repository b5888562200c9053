//! The access log: one line for each request, written once its answer begins. Lines go through a queue, so that no request waits for
//! whoever reads them.

use std::net::IpAddr;
use std::time::Instant;

use axum::body::HttpBody as _;
use axum::http::{HeaderMap, Method, Version};
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::correlation::CORRELATION_ID;
use crate::logging::{AccessLogFormat, LogQueue};

/// The access log of one address.
#[derive(Clone)]
pub struct AccessLog {
    /// The format of its lines.
    pub format: AccessLogFormat,
    /// The queue that they go through.
    pub queue: LogQueue,
}

/// The facts of a request that its line needs.
pub struct LoggedRequest {
    started: Instant,
    time: DateTime<Utc>,
    remote: Option<IpAddr>,
    method: Method,
    target: String,
    version: Version,
    caller: Option<String>,
    trace_id: Option<String>,
}

/// A line for programs.
#[derive(Serialize)]
struct JsonLine<'a> {
    time: String,
    remote: Option<IpAddr>,
    method: &'a str,
    path: &'a str,
    protocol: &'static str,
    status: u16,
    /// Number of bytes of the body; `null` if it is streamed.
    bytes: Option<u64>,
    duration_ms: f64,
    correlation_id: Option<&'a str>,
    caller: Option<&'a str>,
    trace_id: Option<&'a str>,
}

impl LoggedRequest {
    /// Notes a request that comes from an address, by a caller, if they are known.
    pub fn of<B>(
        request: &axum::http::Request<B>,
        remote: Option<IpAddr>,
        caller: Option<String>,
        trace_id: Option<String>,
    ) -> LoggedRequest {
        LoggedRequest {
            started: Instant::now(),
            time: Utc::now(),
            remote,
            method: request.method().clone(),
            target: request.uri().path_and_query().map_or_else(|| request.uri().to_string(), ToString::to_string),
            version: request.version(),
            caller,
            trace_id,
        }
    }

    /// Returns the line, with its line break, once the answer begins.
    pub fn line(&self, format: AccessLogFormat, response: &Response) -> String {
        let bytes = response.body().size_hint().exact();
        match format {
            AccessLogFormat::Json => self.json(response.status().as_u16(), bytes, response.headers()),
            AccessLogFormat::Common => self.common(response.status().as_u16(), bytes),
        }
    }

    fn json(&self, status: u16, bytes: Option<u64>, headers: &HeaderMap) -> String {
        let line = JsonLine {
            time: self.time.to_rfc3339_opts(SecondsFormat::Millis, true),
            remote: self.remote,
            method: self.method.as_str(),
            path: &self.target,
            protocol: protocol(self.version),
            status,
            bytes,
            duration_ms: self.started.elapsed().as_secs_f64() * 1000.0,
            correlation_id: headers.get(&CORRELATION_ID).and_then(|id| id.to_str().ok()),
            caller: self.caller.as_deref(),
            trace_id: self.trace_id.as_deref(),
        };
        serde_json::to_string(&line).map(|line| line + "\n").unwrap_or_default()
    }

    /// Formats the Common Log Format: `host ident user [time] "request" status bytes`.
    fn common(&self, status: u16, bytes: Option<u64>) -> String {
        let remote = self.remote.map_or_else(|| "-".to_owned(), |address| address.to_string());
        let caller = self.caller.as_deref().map_or_else(|| "-".to_owned(), without_blanks);
        let time = self.time.format("%d/%b/%Y:%H:%M:%S %z");
        let bytes = bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
        // A target has no blank, but may have a quotation mark, which would end the request in this format.
        let target = self.target.replace('"', "%22");
        let (method, protocol) = (&self.method, protocol(self.version));
        format!("{remote} - {caller} [{time}] \"{method} {target} {protocol}\" {status} {bytes}\n")
    }
}

/// Returns a name as one word of a line, which it can neither end nor forge.
fn without_blanks(name: &str) -> String {
    name.chars()
        .map(
            |character| {
                if character.is_whitespace() || character.is_control() || character == '"' {
                    '_'
                } else {
                    character
                }
            },
        )
        .collect()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        _ => "HTTP/?",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use axum::http::StatusCode;
    use futures_util::stream;
    use serde_json::{Value, json};

    use super::*;

    fn logged(uri: &str, caller: Option<&str>) -> LoggedRequest {
        let request = Request::builder().uri(uri).body(Body::empty()).unwrap();
        let trace_id = caller.map(|_| "4bf92f3577b34da6a3ce929d0e0e4736".to_owned());
        let remote = Some("192.0.2.1".parse().unwrap());
        let mut logged = LoggedRequest::of(&request, remote, caller.map(str::to_owned), trace_id);
        logged.time = "2026-11-29T10:00:00.5Z".parse().unwrap();
        logged
    }

    fn response(body: Body) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::NOT_FOUND;
        response.headers_mut().insert(CORRELATION_ID.clone(), "c-1".parse().unwrap());
        response
    }

    #[test]
    fn a_line_for_programs_has_each_fact_and_null_where_it_is_not_known() {
        let line =
            logged("/optimizations/a%20b?x=%221", Some("ada")).line(AccessLogFormat::Json, &response("{}".into()));
        assert!(line.ends_with("}\n") && line.lines().count() == 1, "{line}");
        let mut fields: Value = serde_json::from_str(&line).unwrap();
        assert!(fields["duration_ms"].take().as_f64().is_some_and(|taken| taken >= 0.0));
        let expected = json!({
            "time": "2026-11-29T10:00:00.500Z", "remote": "192.0.2.1", "method": "GET",
            "path": "/optimizations/a%20b?x=%221", "protocol": "HTTP/1.1", "status": 404, "bytes": 2, "duration_ms": null,
            "correlation_id": "c-1", "caller": "ada", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        });
        assert_eq!(fields, expected);
        let pieces = stream::iter([Ok::<_, std::io::Error>("a")]);
        let line = logged("/", None).line(AccessLogFormat::Json, &response(Body::from_stream(pieces)));
        let fields: Value = serde_json::from_str(&line).unwrap();
        assert_eq!([&fields["bytes"], &fields["caller"], &fields["trace_id"]], [&Value::Null; 3]);
    }

    #[test]
    fn a_common_line_is_what_tools_expect_and_nobody_can_forge_another() {
        let line =
            logged("/optimizations?limit=1", Some("ada")).line(AccessLogFormat::Common, &response("{}".into()));
        assert_eq!(
            line,
            "192.0.2.1 - ada [29/Nov/2026:10:00:00 +0000] \"GET /optimizations?limit=1 HTTP/1.1\" 404 2\n"
        );
        let forged = logged("/a?x=y", Some("a\n\"b c")).line(AccessLogFormat::Common, &response("{}".into()));
        assert_eq!(forged.lines().count(), 1);
        assert!(forged.contains(" - a__b_c [") && forged.ends_with("\"GET /a?x=y HTTP/1.1\" 404 2\n"), "{forged}");
        let forged = logged("/a\"b", None).line(AccessLogFormat::Common, &response("{}".into()));
        assert!(forged.ends_with("\"GET /a%22b HTTP/1.1\" 404 2\n"), "{forged}");
        for forged in ["/a b", "/a\nb"] {
            assert!(forged.parse::<axum::http::Uri>().is_err(), "{forged}");
        }
    }
}
