//! The parts of the status that other threads than the projector's write: the standstill, the topics' settings, the rebuild,
//! the files of credentials and the publishing of views.
//! They are kept apart from the projector's own report, so that they can be written while that thread is stuck, and stay when
//! another generation becomes the live one.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::credentials::CredentialsReport;
use super::publication::PublicationReport;
use super::rebuild::RebuildReport;
use super::report::Report;
use super::standstill::Standstill;
use super::state::State;
use super::topics::TopicReport;

/// The parts of the status beside the projector's own report.
#[derive(Debug, Default)]
pub(super) struct Supervision {
    stands_still: AtomicBool,
    standstill: Mutex<Option<Standstill>>,
    topics: Mutex<Vec<TopicReport>>,
    rebuild: Mutex<Option<RebuildReport>>,
    credentials: Mutex<Vec<CredentialsReport>>,
    publication: Mutex<Option<PublicationReport>>,
}

impl Supervision {
    pub(super) fn set_standstill(&self, standstill: Option<Standstill>) {
        let mut guard = self.standstill.lock();
        self.stands_still.store(standstill.is_some(), Ordering::Release);
        *guard = standstill;
    }

    pub(super) fn set_topics(&self, topics: Vec<TopicReport>) {
        *self.topics.lock() = topics;
    }

    pub(super) fn set_rebuild(&self, rebuild: Option<RebuildReport>) {
        *self.rebuild.lock() = rebuild;
    }

    pub(super) fn set_credentials(&self, credentials: Vec<CredentialsReport>) {
        *self.credentials.lock() = credentials;
    }

    pub(super) fn set_publication(&self, publication: PublicationReport) {
        *self.publication.lock() = Some(publication);
    }

    /// Returns the state of a projector whose own report has `state`.
    pub(super) fn state(&self, state: State) -> State {
        let stands_still = self.stands_still.load(Ordering::Acquire);
        if stands_still && state != State::Stopping { State::Stalled } else { state }
    }

    /// Adds these parts to the projector's own report.
    pub(super) fn complete(&self, report: &mut Report) {
        report.topics.clone_from(&self.topics.lock());
        report.rebuild.clone_from(&self.rebuild.lock());
        report.credentials.clone_from(&self.credentials.lock());
        report.warnings.extend(report.credentials.iter().filter_map(CredentialsReport::warning));
        report.publication.clone_from(&self.publication.lock());
        report.warnings.extend(report.publication.as_ref().and_then(PublicationReport::warning));
        let guard = self.standstill.lock();
        let Some(standstill) = &*guard else { return };
        if report.state != State::Stopping {
            report.state = State::Stalled;
        }
        report.stalled_stages.clone_from(&standstill.stages);
        let since = standstill.stages.first().map(|stall| stall.since.clone());
        // All times have one form, so that the earlier one is the lesser text.
        report.last_error_since = report.last_error_since.take().into_iter().chain(since).min();
        report.last_error = Some(match report.last_error.take() {
            Some(error) => format!("{}; besides: {error}", standstill.text),
            None => standstill.text.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{StageStall, Status};
    use super::*;

    const SINCE: &str = "2026-01-01T00:00:00.000Z";

    fn standstill() -> Standstill {
        let stages = vec![StageStall { stage: "sync", since: SINCE.to_owned() }];
        Standstill { stages, text: "it stands still".to_owned() }
    }

    fn live() -> Status {
        let status = Status::new(1);
        status.set_state(State::Live);
        status
    }

    #[test]
    fn a_projector_that_stands_still_is_stalled_whatever_its_own_report_states() {
        let status = live();
        status.set_standstill(Some(standstill()));
        status.set_state(State::Live);
        status.set_error(Some("the broker is away".to_owned()));
        let report = status.report();
        assert_eq!((report.state, status.state()), (State::Stalled, State::Stalled));
        assert_eq!(report.last_error.as_deref(), Some("it stands still; besides: the broker is away"));
        assert_eq!(report.stalled_stages, standstill().stages);
        assert_eq!(report.last_error_since.as_deref(), Some(SINCE), "the earlier of the two");
        status.set_standstill(None);
        let report = status.report();
        assert_eq!((report.state, status.state()), (State::Live, State::Live));
        assert_eq!(report.last_error.as_deref(), Some("the broker is away"));
        assert_eq!(report.stalled_stages.len(), 0);
    }

    #[test]
    fn one_that_is_about_to_end_stays_that_and_still_names_the_stage() {
        let status = live();
        status.set_state(State::Stopping);
        status.set_standstill(Some(standstill()));
        let report = status.report();
        assert_eq!((report.state, status.state()), (State::Stopping, State::Stopping));
        assert_eq!(report.stalled_stages.len(), 1);
    }

    #[test]
    fn a_file_of_credentials_that_cannot_be_used_is_warned_of_and_changes_no_state() {
        let status = live();
        let report = |error: Option<&str>| CredentialsReport {
            kind: "api_keys",
            file: "keys.toml".to_owned(),
            entries: 2,
            read_at: SINCE.to_owned(),
            error: error.map(str::to_owned),
            error_since: error.map(|_| SINCE.to_owned()),
        };
        status.set_credentials(vec![report(None)]);
        assert_eq!((status.report().credentials, status.report().warnings.len()), (vec![report(None)], 0));
        status.set_credentials(vec![report(Some("key 1: no"))]);
        let shown = status.report();
        assert_eq!((shown.state, shown.last_error), (State::Live, None));
        for part in ["keys.toml (api_keys) has changed and cannot be used", "the 2 keys", SINCE, "key 1: no"] {
            assert!(shown.warnings[0].contains(part), "no {part}: {:?}", shown.warnings);
        }
    }

    #[test]
    fn reports_of_topics_and_stages_stay_when_another_generation_is_followed() {
        let (shown, next) = (live(), live());
        shown.set_standstill(Some(standstill()));
        shown.set_topics(vec![TopicReport { topic: "jobs".to_owned(), ..TopicReport::default() }]);
        shown.follow(&next);
        let report = shown.report();
        assert_eq!((report.state, report.topics.len()), (State::Stalled, 1));
        assert_eq!((next.report().state, next.report().topics.len()), (State::Live, 0));
    }
}
