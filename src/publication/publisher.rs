//! The publisher, which goes on by steps: it takes the topic over, waits until its views are no older than those on the topic, compares the
//! two if that is needed, and then publishes what changes. It is given the time.

mod marks;
mod report;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::fence::{Fence, OwnMarks};
use super::generations::{Publication, PublishedGeneration};
use super::local_error::local;
use super::progress::{BATCH_VIEWS, Batch, CoveredPosition, GenerationProgress};
use super::reconciliation::Reconciliation;
use super::records::{Mark, RecordForm};
use super::stage::{PublisherSettings, Step};
use super::topic_end::TopicEnd;
use crate::data_dir::{self, PublishedNote};
use crate::domain::ReadPosition;
use crate::source::views_topic::{ScanStart, ViewsRecord, ViewsTopic, ViewsTopicError, ViewsTopicIdentity};
use crate::store::NumberedView;

/// Bytes of records after which no more views are added to a transaction.
const BATCH_BYTES: usize = 4 << 20;
/// The longest rest while nothing is to be published: a generation may have changed meanwhile.
const REST: Duration = Duration::from_millis(50);

/// A publisher of one topic.
pub struct Publisher<T> {
    topic: T,
    settings: PublisherSettings,
    publication: Publication,
    identity: Option<ViewsTopicIdentity>,
    /// The id by which the marks show that this store was the last to be published.
    id: String,
    /// The greatest version that was found or given.
    version: u64,
    /// A position that no view on the topic is beyond.
    bound: Arc<ReadPosition>,
    progress: Option<GenerationProgress>,
    own_marks: OwnMarks,
    /// The fence whose cause is not known yet.
    fence: Option<Fence>,
    /// The number of records that were published, without marks.
    published: u64,
    marked: Option<Arc<Mark>>,
}

impl<T: ViewsTopic> Publisher<T> {
    /// Makes a publisher that has not asked the topic for anything yet.
    pub fn new(topic: T, publication: Publication, settings: PublisherSettings) -> Publisher<T> {
        Publisher {
            topic,
            settings,
            publication,
            identity: None,
            id: new_id(),
            version: 0,
            bound: Arc::default(),
            progress: None,
            own_marks: OwnMarks::default(),
            fence: None,
            published: 0,
            marked: None,
        }
    }

    /// Does the next step.
    ///
    /// # Errors
    /// The topic's. The step can be repeated, but for [`ViewsTopicError::Fenced`], which is certain: another publisher is there.
    pub fn step(&mut self, now: Instant) -> Result<Step, ViewsTopicError> {
        let Some(generation) = self.publication.current() else { return Ok(Step::Rest(REST)) };
        self.settle_fence(now)?;
        match self.try_step(&generation, now) {
            Err(ViewsTopicError::Fenced(error)) => {
                let partitions = self.identity.take().map_or(0, |identity| identity.partitions);
                let fence = Fence::new(now, error, partitions);
                Err(self.fence.insert(fence).doubt(self.settings.takeover_time))
            }
            done => {
                if let Err(ViewsTopicError::Lost(_)) = &done {
                    self.identity = None;
                }
                done
            }
        }
    }

    /// Finds out who ended the last transaction, if that is not known.
    fn settle_fence(&mut self, now: Instant) -> Result<(), ViewsTopicError> {
        if let Some(fence) = &self.fence {
            let end = TopicEnd::read(&mut self.topic, fence.partitions)?;
            fence.check(end.has_marks_of_others(&self.own_marks), now, self.settings.takeover_time)?;
            tracing::info!("no other publisher has come, so that the topic of views is taken over again");
            self.fence = None;
        }
        Ok(())
    }

    fn try_step(&mut self, generation: &PublishedGeneration, now: Instant) -> Result<Step, ViewsTopicError> {
        if self.progress.as_ref().is_none_or(|progress| progress.turn != generation.turn) {
            self.progress = Some(GenerationProgress::new(generation));
        }
        let identity = match &self.identity {
            Some(identity) => identity.clone(),
            None => self.take_over(generation)?,
        };
        if !self.may_publish(generation)? {
            return Ok(Step::Rest(REST));
        }
        self.compare_slice(generation, identity.partitions)?;
        let has_published = self.publish_batch(generation, identity.partitions, now)?;
        self.note_if_done(generation, &identity)?;
        let has_marked = self.mark_if_due(generation, identity.partitions, now)?;
        Ok(match &self.progress {
            _ if has_published || has_marked => Step::Published,
            Some(progress) if progress.has_work() => Step::Again,
            _ => Step::Rest(REST),
        })
    }

    /// Takes the topic over, and looks at its end: what the publishers before have come to, and whether the last of them was this store.
    fn take_over(&mut self, generation: &PublishedGeneration) -> Result<ViewsTopicIdentity, ViewsTopicError> {
        let identity = self.topic.take_over()?;
        let end = TopicEnd::read(&mut self.topic, identity.partitions)?;
        self.version = self.version.max(end.version);
        self.bound = Arc::new(end.position());
        let note = generation.note();
        let is_proven = note.as_ref().is_some_and(|note| {
            (note.topic_id, note.partitions) == (identity.id, identity.partitions)
                && end.is_of(&note.publisher, identity.partitions)
        });
        let mut progress = GenerationProgress::new(generation);
        match note {
            Some(note) if is_proven => self.id = note.publisher,
            _ => {
                self.publication.unnote(generation.turn).map_err(local)?;
                progress.is_noted = false;
            }
        }
        self.progress = Some(progress);
        // It is there before any view of this publisher. What was covered before still is.
        let covered = end.mark(identity.partitions).cloned().map(|mark| mark.positions).unwrap_or_default();
        self.version += 1;
        self.own_marks = OwnMarks::after(end.version);
        let mark = Mark { positions: covered, version: self.version, written_at: data_dir::now() };
        self.publish_first_mark(&mark, identity.partitions)?;
        self.identity = Some(identity.clone());
        tracing::info!(
            topic = self.publication.topic(),
            partitions = identity.partitions,
            is_proven,
            "the topic of views is taken over"
        );
        Ok(identity)
    }

    /// Returns true if the views are no older than those on the topic. What lies beyond the ends of the topics that the views are made
    /// from does not exist any more, so that nobody can come there.
    fn may_publish(&mut self, generation: &PublishedGeneration) -> Result<bool, ViewsTopicError> {
        let Some(progress) = &mut self.progress else { return Ok(false) };
        if progress.has_reached {
            return Ok(true);
        }
        let reader = &generation.reader;
        if !reader.has_whole_bound() || !progress.is_noted && !reader.has_caught_up() {
            return Ok(false);
        }
        let target = match &progress.target {
            Some(target) => target,
            None => {
                let target = self.bound.cut(&self.topic.input_ends()?);
                if target.text() != self.bound.text() {
                    tracing::warn!(
                        on_topic = self.bound.text(),
                        awaited = target.text(),
                        "views on the topic are of records that do not exist any more: what is published may be older than they are"
                    );
                }
                progress.target.insert(target)
            }
        };
        progress.has_reached = reader.visible_position().includes(target);
        Ok(progress.has_reached)
    }

    /// Compares the next records of the topic with the store, unless the generation is noted as published.
    fn compare_slice(&mut self, generation: &PublishedGeneration, partitions: i32) -> Result<(), ViewsTopicError> {
        let Some(progress) = self.progress.as_mut().filter(|progress| progress.is_to_compare()) else {
            return Ok(());
        };
        let comparison = match &mut progress.reconciliation {
            Some(comparison) => comparison,
            none => {
                self.topic.begin_scan(ScanStart::Beginning)?;
                tracing::info!(topic = self.publication.topic(), "comparing the topic of views with the store");
                // Every view is looked at from now on.
                generation.touched.clear();
                none.insert(Reconciliation::begin(&generation.reader, self.publication.format(), partitions))
            }
        };
        let scanned = self.topic.scan(&mut |record| comparison.take(record));
        if scanned.is_err() {
            progress.reconciliation = None;
        }
        let is_over = scanned?;
        progress
            .strays
            .extend(progress.reconciliation.as_mut().map(Reconciliation::take_many_strays).unwrap_or_default());
        if is_over && let Some(comparison) = progress.reconciliation.take() {
            let records = comparison.records;
            let (backlog, strays) = comparison.finish().map_err(local)?;
            progress.strays.extend(strays);
            tracing::info!(
                records,
                views = backlog.numbers.len(),
                gone = progress.strays.len(),
                "the topic of views has been compared with the store"
            );
            progress.backlog = Some(backlog);
        }
        Ok(())
    }

    /// Publishes the next views in one transaction, with a mark if one is due. Returns true if there were any views.
    fn publish_batch(
        &mut self,
        generation: &PublishedGeneration,
        partitions: i32,
        now: Instant,
    ) -> Result<bool, ViewsTopicError> {
        // It is asked for before the views are taken, so that they are all that it covers.
        let due = self.is_mark_due(now).then(|| self.covered_position(generation));
        let taken = generation.touched.take(BATCH_VIEWS);
        let mark = due.filter(|_| taken.is_all);
        let published = self.publish_views(generation, &taken.numbers, mark.as_ref(), partitions, now);
        match &published {
            Ok(_) => generation.touched.acknowledge(),
            Err(_) => generation.touched.give_back(),
        }
        published
    }

    /// Publishes these views and some of what the comparison has found, and behind them a mark of what is covered by that, if it is given.
    fn publish_views(
        &mut self,
        generation: &PublishedGeneration,
        touched: &[u32],
        covered: Option<&CoveredPosition>,
        partitions: i32,
        now: Instant,
    ) -> Result<bool, ViewsTopicError> {
        let Some(progress) = &mut self.progress else { return Ok(false) };
        let mut batch = Batch::default();
        for &number in touched {
            batch.views.extend(generation.reader.numbered_view(number).map_err(local)?);
        }
        progress.fill(&mut batch, generation)?;
        // It is asked for once the views have been read.
        let bound = generation.reader.position_bound();
        let form = RecordForm {
            partitions,
            format: self.publication.format(),
            position: Bytes::copy_from_slice(bound.text().as_bytes()),
        };
        let mut records = Vec::with_capacity(batch.views.len() + batch.gone.len());
        for NumberedView { id, shown, .. } in batch.views {
            self.version += 1;
            records.push(form.view(id.as_bytes(), shown, self.version).map_err(local)?);
        }
        for key in &batch.gone {
            self.version += 1;
            records.push(form.view(key, None, self.version).map_err(local)?);
        }
        let views = records.len();
        if views > 0 {
            if !Arc::ptr_eq(&bound, &self.bound) && !self.bound.includes(&bound) {
                self.bound = Arc::new(self.bound.joined(&bound));
            }
            let mark = covered.map(|covered| {
                let (mark, of_mark) = self.begin_mark(covered, partitions);
                records.extend(of_mark);
                mark
            });
            self.publish_records(&records)?;
            self.published += views as u64;
            if let Some(mark) = mark {
                self.end_mark(mark, now);
            }
        }
        progress_of(&mut self.progress).leave(&batch.numbers, &batch.keys);
        Ok(views > 0)
    }

    /// Publishes records, in as many transactions as their bytes need.
    fn publish_records(&mut self, records: &[ViewsRecord]) -> Result<(), ViewsTopicError> {
        let (mut from, mut bytes) = (0, 0);
        for (at, record) in records.iter().enumerate() {
            bytes += record.size();
            if bytes >= BATCH_BYTES || at + 1 == records.len() {
                self.topic.publish(&records[from..=at])?;
                (from, bytes) = (at + 1, 0);
            }
        }
        Ok(())
    }

    /// Notes the generation as published, once everything is on the topic that a checkpoint may cover. The gate is closed first: what a
    /// checkpoint covers that passed before was noted before the seal.
    fn note_if_done(
        &mut self,
        generation: &PublishedGeneration,
        identity: &ViewsTopicIdentity,
    ) -> Result<(), ViewsTopicError> {
        let progress = progress_of(&mut self.progress);
        if progress.is_noted || !progress.has_published_all() {
            return Ok(());
        }
        let Some(seal) = progress.note_after else {
            progress.note_after = Some(generation.touched.close_gate());
            return Ok(());
        };
        if generation.touched.holds(seal) {
            let note = PublishedNote {
                topic: self.publication.topic().to_owned(),
                topic_id: identity.id,
                partitions: identity.partitions,
                format: self.publication.format().name().to_owned(),
                publisher: self.id.clone(),
            };
            self.publication.note_published(generation.turn, &note).map_err(local)?;
            progress.is_noted = true;
            tracing::info!(
                topic = note.topic,
                views = generation.reader.views(),
                "every view is on the topic of views"
            );
        }
        Ok(())
    }

    /// Gives the topic up, because another publisher has taken it over.
    ///
    /// # Errors
    /// The note of the generation cannot be removed. It must be tried again.
    pub fn give_up(&mut self) -> Result<(), data_dir::IoError> {
        self.publication.fence()
    }
}

fn progress_of(progress: &mut Option<GenerationProgress>) -> &mut GenerationProgress {
    progress.as_mut().expect("it is there since the step began")
}

fn new_id() -> String {
    let mut bytes = [0_u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // The time tells stores apart as well.
        return data_dir::now();
    }
    u128::from_be_bytes(bytes).to_string()
}
