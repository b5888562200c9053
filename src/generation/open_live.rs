//! The shell of a start: opens the live generation as [`LiveStart`] decides.

use std::path::Path;

use anyhow::{Context as _, anyhow};

use super::life::start::{FrozenReason, LiveStart, OpeningAction, OpeningAnswer, OpeningFailure, OpeningStep};
use super::{frozen_status, topics};
use crate::data_dir::{self, FrozenMark};
use crate::source::TopicNames;
use crate::store::{self, OpenError, OpenStore, ReadOnlyStore, StoreError};

/// The live generation, opened.
pub enum OpenLive {
    /// It is to be kept up to date.
    Following(OpenStore),
    /// It is to be shown as it was left.
    Frozen(ReadOnlyStore, FrozenReason),
}

/// Opens the live generation, or begins one.
///
/// # Errors
/// It cannot be opened, and that proves no damage; it was built from other topics; or another version has folded it and
/// `refuses_other_format`.
pub fn open_live(
    data_dir: &Path,
    cache_bytes: u64,
    names: &TopicNames,
    refuses_other_format: bool,
) -> anyhow::Result<OpenLive> {
    let mut opener = Opener { data_dir, cache_bytes, names, opened: None, error: anyhow!("nothing was opened") };
    let is_marked = FrozenMark::of_current(data_dir)?.is_some();
    let mut step = LiveStart::begin(is_marked, refuses_other_format);
    loop {
        step = match step {
            OpeningStep::Act(opening, action) => opening.step(opener.answer(action)),
            OpeningStep::Opened => return opener.opened.ok_or(opener.error),
            OpeningStep::Failed(failure) => return Err(opener.into_error(failure)),
        }
    }
}

struct Opener<'a> {
    data_dir: &'a Path,
    cache_bytes: u64,
    names: &'a TopicNames,
    opened: Option<OpenLive>,
    /// The error of the last action that failed.
    error: anyhow::Error,
}

impl Opener<'_> {
    fn answer(&mut self, action: OpeningAction) -> OpeningAnswer {
        let Err(error) = self.carry_out(action) else { return OpeningAnswer::Done };
        let in_store = match error.downcast_ref::<OpenError>() {
            Some(OpenError::Store(error)) => Some(error),
            _ => error.downcast_ref::<StoreError>(),
        };
        let answer = match in_store {
            Some(error) if error.is_damage() => OpeningAnswer::Damaged,
            Some(StoreError::OtherFormat { .. }) => OpeningAnswer::OtherFormat,
            _ => OpeningAnswer::Failed,
        };
        if answer == OpeningAnswer::Damaged && action == OpeningAction::OpenAsLeft(FrozenReason::Asked) {
            log_damage_of_marked(&error);
        }
        self.error = error;
        answer
    }

    fn carry_out(&mut self, action: OpeningAction) -> anyhow::Result<()> {
        match action {
            OpeningAction::OpenAsLeft(reason) => {
                let opened = store::open_existing(self.data_dir, self.cache_bytes)?;
                self.opened = Some(OpenLive::Frozen(opened, reason));
            }
            OpeningAction::ForgetMark => FrozenMark::clear(self.data_dir)?,
            OpeningAction::OpenToWrite => {
                topics::refuse_others_unopened(self.data_dir, self.names)?;
                let opened = store::open(self.data_dir, self.cache_bytes)?;
                topics::refuse_others_opened(opened.generation, &opened.writer.reader(), self.names)?;
                self.opened = Some(OpenLive::Following(opened));
            }
            OpeningAction::Condemn => {
                let current = data_dir::current(self.data_dir)?.context("there is no live generation")?;
                data_dir::condemn(&data_dir::directory(self.data_dir, current), &self.error.to_string())?;
            }
        }
        Ok(())
    }

    fn into_error(self, failure: OpeningFailure) -> anyhow::Error {
        match (failure, self.opened) {
            (OpeningFailure::MarkedCannotBeShown, _) => self
                .error
                .context("the generation that `optview rollback --frozen` was told to show cannot be shown"),
            (OpeningFailure::OtherFormatRefused, Some(OpenLive::Frozen(store, _))) => {
                frozen_status::refusal(store.generation, store.reader.frozen_format().unwrap_or_default())
            }
            (OpeningFailure::OtherFormatRefused | OpeningFailure::Action, _) => self.error,
        }
    }
}

fn log_damage_of_marked(error: &anyhow::Error) {
    tracing::error!(
        "the generation that `optview rollback --frozen` was told to show is damaged: {error}. It is moved aside, and the \
         views are built anew; `optview rollback --frozen --to N` shows another one, of those that `optview generations` \
         lists"
    );
}
