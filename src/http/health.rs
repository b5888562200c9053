//! Whether the process lives, and whether it should get requests. Reads the status and decides by it; remembers
//! nothing itself.
//!
//! Ready means that what was there at the start has been read. A broker that goes away afterwards makes the projector
//! stale, and leaves the reads ready: what they serve grows old, which `state`, `lag_seconds` and `last_error` show, but
//! taking every instance out of the balancer would turn old answers into none. The same goes for a generation that this
//! version cannot keep up to date: it is ready, and says that it is frozen, and where.
//!
//! Where records were gone before they could be read, all that is there has been read, and yet views lack something. That is
//! not ready until somebody accepts it: a rebuild would have refused it, too.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::edge::Answer;
use super::errors::HttpError;
use super::to_json;
use crate::status::{FrozenAt, MissingHistory, Report, State};

#[derive(Serialize)]
struct Alive<'a> {
    status: &'static str,
    state: State,
    last_error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error_since: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

/// Both as the body of a ready answer and as the detail of one that is not.
#[derive(Serialize)]
struct Readiness<'a> {
    status: &'static str,
    state: State,
    lag_records: Option<i64>,
    lag_seconds: Option<f64>,
    last_error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error_since: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    frozen_at: Option<&'a FrozenAt>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    missing_history: &'a [MissingHistory],
}

/// `/healthz`: always 200, since a restart helps against nothing that the status can say. Shows the last error,
/// because the broker's client retries wrong credentials for ever and says so nowhere else.
pub fn alive(report: &Report) -> Response {
    let alive = Alive {
        status: "ok",
        state: report.state,
        last_error: report.last_error.as_deref(),
        last_error_since: report.last_error_since.as_deref(),
        warnings: &report.warnings,
    };
    to_json(StatusCode::OK, &alive)
}

/// `/readyz`: 200 while live, or stale or frozen and said to be, else 503 with the reason.
pub fn ready(report: &Report, store_is_open: bool) -> Answer {
    match reason(report, store_is_open) {
        None => {
            let status = match report.state {
                State::Frozen => "frozen",
                State::Stale => "stale",
                _ => "ready",
            };
            Ok(to_json(StatusCode::OK, &readiness(report, status)))
        }
        Some(message) => {
            let detail = serde_json::to_value(readiness(report, "not ready")).unwrap_or_default();
            Err(HttpError::Unavailable { message, detail })
        }
    }
}

fn readiness<'a>(report: &'a Report, status: &'static str) -> Readiness<'a> {
    Readiness {
        status,
        state: report.state,
        lag_records: report.lag_records,
        lag_seconds: report.lag_seconds,
        last_error: report.last_error.as_deref(),
        last_error_since: report.last_error_since.as_deref(),
        warnings: &report.warnings,
        frozen_at: report.frozen_at.as_ref(),
        missing_history: &report.missing_history,
    }
}

/// Why the reads are not ready, if they are not.
fn reason(report: &Report, store_is_open: bool) -> Option<String> {
    if let (State::Live | State::Stale, true, Some(missing)) =
        (report.state, store_is_open, report.missing_history_text())
    {
        return Some(format!("incomplete: {missing}"));
    }
    let because = report.last_error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    match report.state {
        State::Live | State::Stale | State::Frozen if store_is_open => None,
        State::Live | State::Stale | State::Frozen => Some(format!("the store is not open yet{because}")),
        State::Starting => Some(format!("starting: the store opens, or the broker has not answered{because}")),
        State::CatchingUp => Some(match report.lag_records {
            Some(lag) => format!("catching up: {lag} records to go{because}"),
            None => format!("catching up: the broker has not said how far{because}"),
        }),
        State::Stalled => Some(format!("stalled{because}")),
        State::Stopping => Some("stopping".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    fn report(state: State, last_error: Option<&str>) -> Report {
        Report {
            state,
            last_error: last_error.map(str::to_owned),
            lag_records: Some(7),
            ..Status::new(1).report()
        }
    }

    #[test]
    fn only_a_live_projector_with_an_open_store_is_ready() {
        for (state, expected) in [
            (State::Starting, Some("starting: the store opens, or the broker has not answered: boom")),
            (State::CatchingUp, Some("catching up: 7 records to go: boom")),
            (State::Live, None),
            (State::Stale, None),
            (State::Frozen, None),
            (State::Stalled, Some("stalled: boom")),
            (State::Stopping, Some("stopping")),
        ] {
            assert_eq!(reason(&report(state, Some("boom")), true).as_deref(), expected);
        }
        assert_eq!(reason(&report(State::Live, None), false).as_deref(), Some("the store is not open yet"));
    }

    #[test]
    fn what_is_frozen_is_ready_and_never_called_current() {
        let status = Status::new(1);
        status.set_frozen(FrozenAt {
            format: 1,
            own_format: 2,
            closed_at: None,
            positions: Vec::new(),
            asked_at: None,
        });
        assert_eq!(ready(&status.report(), true).unwrap().status(), StatusCode::OK);
        assert!(ready(&status.report(), false).is_err());
        let text = serde_json::to_string(&readiness(&status.report(), "frozen")).unwrap();
        for part in [
            r#""status":"frozen","state":"frozen""#,
            r#""frozen_at":{"format":1,"own_format":2,"closed_at":null,"positions":[]}"#,
        ] {
            assert!(text.contains(part), "no {part}: {text}");
        }
    }

    #[test]
    fn what_is_stale_is_ready_and_says_since_when_and_why() {
        let stale = Report {
            last_error_since: Some("2026-11-28T10:00:00.000Z".to_owned()),
            warnings: vec!["look here".to_owned()],
            ..report(State::Stale, Some("boom"))
        };
        assert_eq!(ready(&stale, true).unwrap().status(), StatusCode::OK);
        let text = serde_json::to_string(&readiness(&stale, "stale")).unwrap();
        for part in [
            r#""status":"stale","state":"stale""#,
            r#""last_error":"boom","last_error_since":"2026-11-28T10:00:00.000Z","warnings":["look here"]"#,
        ] {
            assert!(text.contains(part), "no {part}: {text}");
        }
    }

    #[test]
    fn a_projector_whose_views_lack_records_is_not_ready_until_somebody_accepts_that() {
        let since = "2026-11-28T12:00:00Z".to_owned();
        let missing = MissingHistory { topic: "jobs".to_owned(), partition: 2, from: 0, to: 17, since };
        for state in [State::Live, State::Stale] {
            let incomplete = Report { missing_history: vec![missing.clone()], ..report(state, None) };
            let Err(HttpError::Unavailable { message, detail }) = ready(&incomplete, true) else {
                panic!("it is not ready");
            };
            for part in ["incomplete", "jobs/2 from 0 to 17", "optview accept-loss"] {
                assert!(message.contains(part), "no {part}: {message}");
            }
            assert_eq!(detail["missing_history"][0]["to"], 17);
            assert_eq!(ready(&report(state, None), true).unwrap().status(), StatusCode::OK);
        }
    }

    #[test]
    fn a_broker_that_went_away_shows_but_does_not_make_the_reads_unready() {
        let away = report(State::Live, Some("all brokers are down"));
        assert_eq!(ready(&away, true).unwrap().status(), StatusCode::OK);
        let Err(HttpError::Unavailable { detail, .. }) = ready(&report(State::Stalled, Some("boom")), true) else {
            panic!("a stalled projector is not ready");
        };
        assert_eq!(
            detail,
            serde_json::json!({
                "status": "not ready", "state": "stalled", "lag_records": 7, "lag_seconds": null, "last_error": "boom"
            })
        );
    }
}
