//! The shell of a start: opens the live generation as [`LiveStart`] decides.

use std::path::Path;

use anyhow::{Context as _, anyhow};

use super::life::start::{LiveOpening, LiveStart, OpeningAction, OpeningAnswer, OpeningFailure, OpeningStep};
use super::{frozen_status, topics};
use crate::data_dir::{self, FrozenMark};
use crate::source::TopicNames;
use crate::store::{self, OpenError, OpenStore, ReadOnlyStore, StoreError};

/// The live generation, opened.
pub enum OpenLive {
    /// It is to be kept up to date.
    Following(OpenStore),
    /// Somebody asked for it to be shown as it was left.
    FrozenAsAsked(ReadOnlyStore),
    /// Another version has folded it, so it is to be shown as it was left.
    FrozenByFormat(ReadOnlyStore),
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
            OpeningStep::Open(how) => return opener.into_live(how),
            OpeningStep::Failed(failure) => return Err(opener.into_error(failure)),
        }
    }
}

struct Opener<'a> {
    data_dir: &'a Path,
    cache_bytes: u64,
    names: &'a TopicNames,
    opened: Option<Store>,
    /// The error of the last action that failed.
    error: anyhow::Error,
}

enum Store {
    ToWrite(OpenStore),
    AsLeft(ReadOnlyStore),
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
        if answer == OpeningAnswer::Damaged && action == OpeningAction::OpenAsLeft {
            log_damage_of_marked(self.data_dir, &error);
        }
        self.error = error;
        answer
    }

    fn carry_out(&mut self, action: OpeningAction) -> anyhow::Result<()> {
        match action {
            OpeningAction::OpenAsLeft => {
                self.opened = Some(Store::AsLeft(store::open_existing(self.data_dir, self.cache_bytes)?));
            }
            OpeningAction::ForgetMark => FrozenMark::clear(self.data_dir)?,
            OpeningAction::OpenToWrite => {
                topics::refuse_others_unopened(self.data_dir, self.names)?;
                let opened = store::open(self.data_dir, self.cache_bytes)?;
                topics::refuse_others_opened(opened.generation, &opened.writer.reader(), self.names)?;
                self.opened = Some(Store::ToWrite(opened));
            }
            OpeningAction::Condemn => {
                let current = data_dir::current(self.data_dir)?.context("there is no live generation")?;
                data_dir::condemn(&data_dir::directory(self.data_dir, current), &self.error.to_string())?;
            }
        }
        Ok(())
    }

    fn into_live(self, how: LiveOpening) -> anyhow::Result<OpenLive> {
        match (how, self.opened) {
            (LiveOpening::Following, Some(Store::ToWrite(opened))) => Ok(OpenLive::Following(opened)),
            (LiveOpening::FrozenAsAsked, Some(Store::AsLeft(store))) => Ok(OpenLive::FrozenAsAsked(store)),
            (LiveOpening::FrozenByFormat, Some(Store::AsLeft(store))) => Ok(OpenLive::FrozenByFormat(store)),
            (LiveOpening::Following | LiveOpening::FrozenAsAsked | LiveOpening::FrozenByFormat, _) => {
                Err(self.error)
            }
        }
    }

    fn into_error(self, failure: OpeningFailure) -> anyhow::Error {
        match (failure, self.opened) {
            (OpeningFailure::MarkedCannotBeShown, _) => self
                .error
                .context("the generation that `optview rollback --frozen` was told to show cannot be shown"),
            (OpeningFailure::OtherFormatRefused, Some(Store::AsLeft(store))) => {
                frozen_status::refusal(store.generation, store.reader.frozen_format().unwrap_or_default())
            }
            (OpeningFailure::OtherFormatRefused | OpeningFailure::Action, _) => self.error,
        }
    }
}

fn log_damage_of_marked(data_dir: &Path, error: &anyhow::Error) {
    // The other generation that is opened as it was left is one of another version, and what is done with it is logged there.
    if FrozenMark::of_current(data_dir).is_ok_and(|mark| mark.is_some()) {
        tracing::error!(
            "the generation that `optview rollback --frozen` was told to show is damaged: {error}. It is moved aside, and the \
             views are built anew; `optview rollback --frozen --to N` shows another one, of those that `optview generations` \
             lists"
        );
    }
}
