//! The health checks: whether the process lives (`/healthz`), and whether it should get requests (`/readyz`). They decide by
//! the status alone.
//!
//! Ready means that the answers are worth having: everything that was there at some start has been read, in this process or, as
//! the store remembers, in an earlier one. A broker that goes away, or is absent at a start, leaves the reads ready: their views
//! grow old, which `lag_seconds`, `last_error` and the header `x-optview-state` of every answer show, but taking
//! every instance out of the balancer would turn old answers into none. The same holds for a generation that this version
//! cannot keep up to date. `--require-fresh` makes only live instances ready. A store that was never complete is not ready
//! before it is.
//!
//! If records were gone before they could be read, everything that is there has been read, and yet views lack something. Such a
//! store is not ready until somebody accepts that, as a rebuild would have refused it, too.
//!
//! On the read address both checks are answered to anybody, without a key. There they name no broker, no topic and
//! no error: those are for the operators' address.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::endpoint::HandlerResult;
use super::errors::HttpError;
use super::json_response::to_json;
use crate::status::{FrozenAt, MissingHistory, Report, State, Status};

/// The readers of a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Anybody, without a key.
    Public,
    /// The operators, who look after the process.
    Operators,
}

/// The details that only operators get.
#[derive(Serialize)]
struct Details<'a> {
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

impl<'a> Details<'a> {
    fn of(report: &'a Report, audience: Audience) -> Option<Details<'a>> {
        (audience == Audience::Operators).then(|| Details {
            last_error: report.last_error.as_deref(),
            last_error_since: report.last_error_since.as_deref(),
            warnings: &report.warnings,
            frozen_at: report.frozen_at.as_ref(),
            missing_history: &report.missing_history,
        })
    }
}

/// The body of `/healthz`.
#[derive(Serialize)]
struct LivenessBody<'a> {
    status: &'static str,
    state: State,
    #[serde(flatten)]
    details: Option<Details<'a>>,
}

/// The rule by which an instance calls itself ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// True if the instance is ready only while it is live. Otherwise it is also ready with old views, if it has been live once.
    pub require_fresh: bool,
}

/// The body of `/readyz` if it is ready, and the detail of its error if it is not.
#[derive(Serialize)]
struct ReadinessBody<'a> {
    status: &'static str,
    state: State,
    lag_records: Option<i64>,
    lag_seconds: Option<f64>,
    #[serde(flatten)]
    details: Option<Details<'a>>,
}

/// Answers `/healthz`: always 200, since a restart helps against no state that there is. Operators get the last
/// error, because the Kafka client retries wrong credentials for ever and reports them nowhere else.
pub fn liveness(report: &Report, audience: Audience) -> Response {
    let details = Details::of(report, audience);
    to_json(StatusCode::OK, &LivenessBody { status: "ok", state: report.state, details })
}

impl Readiness {
    /// Answers `/readyz`: 200 with the freshness of the views, or 503 with the reason.
    pub(super) fn answer(self, status: &Status, store_is_open: bool, audience: Audience) -> HandlerResult {
        let was_live = status.answer_state().was_live;
        self.judge(&status.report(), was_live, store_is_open, audience)
    }

    fn judge(self, report: &Report, was_live: bool, store_is_open: bool, audience: Audience) -> HandlerResult {
        match self.obstacle(report, was_live, store_is_open, audience) {
            None => {
                let status = match report.state {
                    State::Live => "ready",
                    State::Frozen => "frozen",
                    _ => "stale",
                };
                Ok(to_json(StatusCode::OK, &body(report, status, audience)))
            }
            Some(message) => {
                let detail = serde_json::to_value(body(report, "not ready", audience)).unwrap_or_default();
                Err(HttpError::Unavailable { message, detail, is_worth_retrying: true })
            }
        }
    }

    /// Returns the reason for which the reads are not ready, if they are not.
    fn obstacle(self, report: &Report, was_live: bool, store_is_open: bool, audience: Audience) -> Option<String> {
        let shown_error = report.last_error.as_deref().filter(|_| audience == Audience::Operators);
        let because = shown_error.map(|error| format!(": {error}")).unwrap_or_default();
        let not_live = match report.state {
            State::Live => None,
            State::Stalled => return Some(format!("stalled{because}")),
            State::Stopping => return Some("stopping".to_owned()),
            State::Starting => {
                Some("starting: the store is being opened, or the broker has not answered yet".to_owned())
            }
            State::CatchingUp => Some(match report.lag_records {
                Some(lag) => format!("catching up: {lag} records to go"),
                None => "catching up: the broker has not answered yet how many records are left".to_owned(),
            }),
            State::Stale => {
                Some("stale: the broker has not confirmed lately that everything has been read".to_owned())
            }
            State::Frozen => {
                Some("frozen: the views are shown as they were left, and are not kept up to date".to_owned())
            }
        };
        let is_complete = was_live || matches!(report.state, State::Live | State::Stale | State::Frozen);
        let missing = report.missing_history_text().filter(|_| store_is_open && report.state != State::Frozen);
        let missing = missing.map(|text| match audience {
            Audience::Operators => text,
            Audience::Public => "the views are built without records that the topics no longer had".to_owned(),
        });
        match not_live {
            Some(reason) if !is_complete => Some(format!("{reason}{because}")),
            _ if missing.is_some() => missing.map(|missing| format!("incomplete: {missing}")),
            Some(reason) if self.require_fresh => Some(format!("{reason}, and --require-fresh is given{because}")),
            _ => (!store_is_open).then(|| format!("the store is not open yet{because}")),
        }
    }
}

fn body<'a>(report: &'a Report, status: &'static str, audience: Audience) -> ReadinessBody<'a> {
    ReadinessBody {
        status,
        state: report.state,
        lag_records: report.lag_records,
        lag_seconds: report.lag_seconds,
        details: Details::of(report, audience),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Readiness = Readiness { require_fresh: false };
    const FRESH: Readiness = Readiness { require_fresh: true };
    const OPERATORS: Audience = Audience::Operators;

    fn report(state: State, last_error: Option<&str>) -> Report {
        Report {
            state,
            last_error: last_error.map(str::to_owned),
            lag_records: Some(7),
            ..Status::new(1).report()
        }
    }

    #[test]
    fn a_store_that_was_never_live_is_ready_once_it_is() {
        for (state, expected) in [
            (
                State::Starting,
                Some("starting: the store is being opened, or the broker has not answered yet: boom"),
            ),
            (State::CatchingUp, Some("catching up: 7 records to go: boom")),
            (State::Live, None),
            (State::Stale, None),
            (State::Frozen, None),
            (State::Stalled, Some("stalled: boom")),
            (State::Stopping, Some("stopping")),
        ] {
            assert_eq!(USUAL.obstacle(&report(state, Some("boom")), false, true, OPERATORS).as_deref(), expected);
        }
        let closed = USUAL.obstacle(&report(State::Live, None), false, false, OPERATORS);
        assert_eq!(closed.as_deref(), Some("the store is not open yet"));
    }

    #[test]
    fn a_store_that_was_live_once_is_ready_at_once_unless_only_what_is_fresh_is_wanted() {
        let never = "and --require-fresh is given: boom";
        for (state, expected) in [
            (State::Starting, Ok("stale")),
            (State::CatchingUp, Ok("stale")),
            (State::Live, Ok("ready")),
            (State::Stale, Ok("stale")),
            (State::Frozen, Ok("frozen")),
            (State::Stalled, Err("stalled: boom")),
            (State::Stopping, Err("stopping")),
        ] {
            let report = report(state, Some("boom"));
            let usual = USUAL.obstacle(&report, true, true, OPERATORS);
            assert_eq!(usual.as_deref(), expected.err(), "{state:?}");
            let fresh = FRESH.obstacle(&report, true, true, OPERATORS);
            match (state, expected) {
                (State::Live, _) => assert_eq!(fresh, None),
                (_, Ok(_)) => assert!(fresh.is_some_and(|why| why.ends_with(never)), "{state:?}"),
                (_, Err(_)) => assert_eq!(fresh, usual),
            }
            assert_eq!(USUAL.judge(&report, true, true, OPERATORS).is_ok(), expected.is_ok(), "{state:?}");
            let closed = USUAL.obstacle(&report, true, false, OPERATORS);
            assert!(closed.is_some(), "{state:?}: nothing can be answered yet");
        }
    }

    #[test]
    fn what_is_frozen_is_ready_and_never_called_current() {
        let status = Status::new(1);
        status.set_frozen(FrozenAt { format: 1, own_format: 2, ..FrozenAt::default() });
        assert_eq!(USUAL.answer(&status, true, OPERATORS).unwrap().status(), StatusCode::OK);
        assert!(USUAL.answer(&status, false, OPERATORS).is_err());
        assert!(FRESH.answer(&status, true, OPERATORS).is_err());
        let text = serde_json::to_string(&body(&status.report(), "frozen", OPERATORS)).unwrap();
        for part in [
            r#""status":"frozen","state":"frozen""#,
            r#""frozen_at":{"format":1,"own_format":2,"closed_at":null,"positions":[]}"#,
        ] {
            assert!(text.contains(part), "no {part}: {text}");
        }
    }

    #[test]
    fn a_stale_instance_is_ready_and_reports_its_error_with_the_time() {
        let stale = Report {
            last_error_since: Some("2026-11-28T10:00:00.000Z".to_owned()),
            warnings: vec!["look here".to_owned()],
            ..report(State::Stale, Some("boom"))
        };
        assert_eq!(USUAL.judge(&stale, true, true, OPERATORS).unwrap().status(), StatusCode::OK);
        let text = serde_json::to_string(&body(&stale, "stale", OPERATORS)).unwrap();
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
        for state in [State::Live, State::Stale, State::CatchingUp] {
            let incomplete = Report { missing_history: vec![missing.clone()], ..report(state, None) };
            let Err(HttpError::Unavailable { message, detail, .. }) =
                USUAL.judge(&incomplete, true, true, OPERATORS)
            else {
                panic!("it is not ready");
            };
            for part in ["incomplete", "jobs/2 from 0 to 17", "optview accept-loss"] {
                assert!(message.contains(part), "no {part}: {message}");
            }
            assert_eq!(detail["missing_history"][0]["to"], 17);
            assert_eq!(USUAL.judge(&report(state, None), true, true, OPERATORS).unwrap().status(), StatusCode::OK);
        }
    }

    #[test]
    fn a_broker_that_went_away_shows_but_does_not_make_the_reads_unready() {
        let away = report(State::Live, Some("all brokers are down"));
        assert_eq!(USUAL.judge(&away, true, true, OPERATORS).unwrap().status(), StatusCode::OK);
        let stalled = USUAL.judge(&report(State::Stalled, Some("boom")), true, true, OPERATORS);
        let Err(HttpError::Unavailable { detail, .. }) = stalled else {
            panic!("a stalled projector is not ready");
        };
        assert_eq!(
            detail,
            serde_json::json!({
                "status": "not ready", "state": "stalled", "lag_records": 7, "lag_seconds": null, "last_error": "boom"
            })
        );
    }

    #[tokio::test]
    async fn the_public_gets_no_error_no_topic_and_nothing_else_of_the_cluster() {
        use http_body_util::BodyExt as _;
        let missing = MissingHistory {
            topic: "secret".to_owned(),
            partition: 2,
            from: 0,
            to: 17,
            since: "2026-11-28T12:00:00Z".to_owned(),
        };
        for state in State::ALL {
            for missing_history in [Vec::new(), vec![missing.clone()]] {
                let report = Report {
                    last_error_since: Some("2026-11-28T10:00:00.000Z".to_owned()),
                    warnings: vec!["secret".to_owned()],
                    frozen_at: Some(FrozenAt {
                        format: 1,
                        own_format: 2,
                        closed_at: Some("secret".to_owned()),
                        ..FrozenAt::default()
                    }),
                    missing_history,
                    ..report(state, Some("secret"))
                };
                for (readiness, was_live, is_open) in
                    [(USUAL, true, true), (USUAL, false, true), (FRESH, true, true), (USUAL, true, false)]
                {
                    let text = match readiness.judge(&report, was_live, is_open, Audience::Public) {
                        Ok(ready) => format!("{:?}", ready.into_body().collect().await.unwrap().to_bytes()),
                        Err(error) => format!("{error:?}"),
                    };
                    assert!(text.contains(state.as_str()) || text.contains("incomplete"), "{text}");
                    assert!(!text.contains("secret") && !text.contains("last_error"), "{text}");
                }
                let alive = liveness(&report, Audience::Public).into_body().collect().await.unwrap().to_bytes();
                assert_eq!(alive, format!(r#"{{"status":"ok","state":"{}"}}"#, state.as_str()));
            }
        }
    }
}
