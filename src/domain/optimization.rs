//! The state of one optimization: one self-contained record, from which its view follows.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::{OptimizationCreated, OptimizationEvent};
use super::job::Job;
use super::outranking::{LatestEvent, is_newer, is_outranked, later_of};
use super::register::Register;
use super::stamp::Stamp;
use super::timestamp::Timestamp;

/// Maximum number of links that are kept. The oldest by version is dropped first.
pub const LINKS_LIMIT: usize = 8;

/// The facts that a creation states.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CreationFacts {
    /// The id of the organization that owns the optimization. No caller of another one may read it.
    pub organization_id: Box<str>,
    /// The id of the project that the optimization belongs to.
    pub project_id: Box<str>,
    /// The name at the creation; `None` if the event had none.
    pub name: Option<Box<str>>,
    /// The description at the creation; `None` if the event had none.
    pub description: Option<Box<str>>,
    /// The kind of optimization, an open set; `None` if the event had none.
    pub kind: Option<Box<str>>,
    /// The time of the creation; the event's own time if the event does not give one.
    pub created_at: Timestamp,
    /// The email address of the user who created the optimization; `None` if the event had none.
    pub created_by_email: Option<Box<str>>,
    /// The id of the cell that is optimized; `None` if the event had none.
    pub cell_spec_id: Option<Box<str>>,
    /// The name of the cell at the creation; `None` if the event had none.
    pub cell_name: Option<Box<str>>,
    /// The id of the model whose parameters are optimized; `None` if the event had none.
    pub parameterized_model_id: Option<Box<str>>,
    /// The name of the model at the creation; `None` if the event had none.
    pub parameterized_model_name: Option<Box<str>>,
    /// The id of the template that the optimization was made from; `None` if the event had none.
    pub optimization_template_id: Option<Box<str>>,
    /// A JSON object's text. The codec stores it beside the rest, so that lists find it without decoding.
    #[serde(skip)]
    pub objectives: Option<Box<str>>,
}

impl CreationFacts {
    /// Copies the facts from an event that occurred at this time, which stands for a time of creation that the
    /// event does not give.
    pub fn new(event: &OptimizationCreated<'_>, occurred_at: Timestamp) -> CreationFacts {
        let own = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(Box::from);
        CreationFacts {
            organization_id: event.organization_id.as_ref().into(),
            project_id: event.project_id.as_ref().into(),
            name: own(&event.name),
            description: own(&event.description),
            kind: own(&event.kind),
            created_at: event.created_at.unwrap_or(occurred_at),
            created_by_email: own(&event.created_by_email),
            cell_spec_id: own(&event.cell_spec_id),
            cell_name: own(&event.cell_name),
            parameterized_model_id: own(&event.parameterized_model_id),
            parameterized_model_name: own(&event.parameterized_model_name),
            optimization_template_id: own(&event.optimization_template_id),
            objectives: event.objectives.as_ref().map(|objectives| objectives.0.as_ref().into()),
        }
    }

    fn text_len(&self) -> usize {
        let texts = [
            &self.name,
            &self.description,
            &self.created_by_email,
            &self.cell_spec_id,
            &self.cell_name,
            &self.parameterized_model_id,
            &self.parameterized_model_name,
            &self.optimization_template_id,
            &self.objectives,
        ];
        texts.into_iter().flatten().map(|text| text.len()).sum()
    }
}

/// A job that was submitted for an optimization, and the stamp of the greatest event that linked it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The id of the job.
    pub job_id: Arc<str>,
    /// The stamp of the event. If several linked the same job, it is the one with the greatest version.
    pub stamp: Stamp,
}

/// A part of an optimization that one event sets and a later one replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptimizationPart {
    /// All facts of the creation, as one part.
    Creation,
    /// The name, as set by a change of it.
    Name,
    /// The description, as set by a change of it.
    Description,
    /// The display name of the cell, as set by a change of it.
    CellName,
    /// The display name of the parameterized model, as set by a change of it.
    ModelName,
    /// The link to the present job.
    Link,
}

/// The state of an optimization, which is a join-semilattice, as each of its parts is.
///
/// A creation sets the name, the description and the display names too. They are not copied into the registers
/// beside it: those hold the greatest *change*, and the view takes the greater of the two versions, which is the
/// same maximum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Optimization {
    /// The id of the optimization, which is its key in the store.
    pub id: Arc<str>,
    /// The creation. `None` while it has not been read: nothing of the optimization is visible until then.
    pub created: Option<Register<CreationFacts>>,
    /// The greatest change of the name; `None` if no change of it is known.
    pub name: Option<Box<Register<Box<str>>>>,
    /// The greatest change of the description; `None` if no change of it is known.
    pub description: Option<Box<Register<Box<str>>>>,
    /// The greatest change of the cell's display name; `None` if no change of it is known.
    pub cell_name: Option<Box<Register<Box<str>>>>,
    /// The greatest change of the model's display name; `None` if no change of it is known.
    pub parameterized_model_name: Option<Box<Register<Box<str>>>>,
    /// The deletion; `None` if none is known. It hides the optimization whatever the versions of other events are.
    pub deleted: Option<Register<()>>,
    /// The links descending by version, at most the greatest [`LINKS_LIMIT`], with each job once. The first one
    /// links the present job.
    links: Vec<Link>,
    /// The latest link by time, unless it is the first of `links`.
    latest_link: LatestEvent,
    /// The known state of the job that is linked now.
    pub job: Job,
}

impl Optimization {
    /// Creates an optimization of which nothing is known.
    pub fn new(id: Arc<str>) -> Optimization {
        Optimization {
            id,
            created: None,
            name: None,
            description: None,
            cell_name: None,
            parameterized_model_name: None,
            deleted: None,
            links: Vec::new(),
            latest_link: LatestEvent::default(),
            job: Job::default(),
        }
    }

    /// Returns the job that is linked now.
    pub fn linked_job(&self) -> Option<&Arc<str>> {
        self.links.first().map(|link| &link.job_id)
    }

    /// Returns the present link and earlier ones, the latest first.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Returns true if the optimization links the job now, or is known to have linked it earlier.
    pub fn links_job(&self, job_id: &str) -> bool {
        self.links.iter().any(|link| *link.job_id == *job_id)
    }

    /// Returns the job whose link would be dropped by a new link to `job_id`.
    pub fn displaced_by(&self, job_id: &str) -> Option<&Arc<str>> {
        let full = self.links.len() == LINKS_LIMIT && !self.links_job(job_id);
        full.then(|| self.links.last().map(|link| &link.job_id)).flatten()
    }

    /// Returns true if a link would change anything.
    pub fn would_link(&self, job_id: &str, stamp: &Stamp) -> bool {
        match self.links.iter().find(|link| *link.job_id == *job_id) {
            Some(held) => supersedes(stamp, &held.stamp),
            None => self.links.len() < LINKS_LIMIT || self.links.last().is_some_and(|last| *stamp > last.stamp),
        }
    }

    /// Returns true if a link for which [`Optimization::would_link`] is false is the latest by time.
    pub fn is_latest_link(&self, stamp: &Stamp) -> bool {
        self.links.first().is_some_and(|first| {
            let held = self.latest_link.or(&first.stamp);
            held != stamp && later_of(held, stamp) == stamp
        })
    }

    /// Stores the latest link by time.
    pub fn note_latest_link(&mut self, stamp: Stamp) {
        if let Some(first) = self.links.first() {
            self.latest_link = LatestEvent::beside(stamp, &first.stamp);
        }
    }

    /// Applies a link for which [`Optimization::would_link`] is true. It leaves `job` unchanged; `fold` moves that
    /// state.
    pub fn link(&mut self, job_id: &Arc<str>, stamp: Stamp) {
        let latest = self.links.first().map(|first| later_of(self.latest_link.or(&first.stamp), &stamp));
        let latest = latest.unwrap_or(&stamp).clone();
        self.links.retain(|link| link.job_id != *job_id);
        let at = self.links.partition_point(|link| link.stamp > stamp);
        // Most optimizations have one link for ever.
        self.links.reserve_exact(usize::from(self.links.is_empty()));
        self.links.insert(at, Link { job_id: job_id.clone(), stamp });
        self.links.truncate(LINKS_LIMIT);
        self.note_latest_link(latest);
    }

    /// Returns each part whose latest event by time lost although it is newer, with the stamps of that event and
    /// of its winner.
    pub fn outranked(&self) -> impl Iterator<Item = (OptimizationPart, &Stamp, &Stamp)> {
        let created = self.created.as_ref();
        let creation = created.and_then(|created| {
            let latest = created.latest.or(&created.stamp);
            match &self.deleted {
                Some(deleted) => is_newer(latest, &deleted.stamp).then_some((latest, &deleted.stamp)),
                None => is_outranked(latest, &created.stamp).then_some((latest, &created.stamp)),
            }
        });
        let link = self
            .links
            .first()
            .and_then(|first| Some((self.latest_link.outranked_by(&first.stamp)?, &first.stamp)));
        [
            (OptimizationPart::Creation, creation),
            (OptimizationPart::Name, self.outranked_text(self.name.as_deref())),
            (OptimizationPart::Description, self.outranked_text(self.description.as_deref())),
            (OptimizationPart::CellName, self.outranked_text(self.cell_name.as_deref())),
            (OptimizationPart::ModelName, self.outranked_text(self.parameterized_model_name.as_deref())),
            (OptimizationPart::Link, link),
        ]
        .into_iter()
        .filter_map(|(part, stamps)| stamps.map(|(event, winner)| (part, event, winner)))
    }

    /// Returns the kind of the event that set a part, or lost it.
    pub fn kind_of(&self, part: OptimizationPart, event: &Stamp) -> OptimizationEvent {
        let is_creation = self.created.as_ref().is_some_and(|created| created.stamp.version == event.version);
        match part {
            OptimizationPart::Creation => OptimizationEvent::Created,
            OptimizationPart::Link if is_creation => OptimizationEvent::Created,
            OptimizationPart::Link => OptimizationEvent::JobLinked,
            OptimizationPart::Name | OptimizationPart::Description => OptimizationEvent::DetailsChanged,
            OptimizationPart::CellName | OptimizationPart::ModelName => OptimizationEvent::DisplayNamesChanged,
        }
    }

    /// Returns the stamps of [`Optimization::outranked`] for a part that a creation sets too.
    fn outranked_text<'a>(&'a self, change: Option<&'a Register<Box<str>>>) -> Option<(&'a Stamp, &'a Stamp)> {
        let change = change?;
        let created = self.created.as_ref().map(|created| &created.stamp);
        let winner = created.filter(|created| created.version > change.stamp.version).unwrap_or(&change.stamp);
        let latest = change.latest.or(&change.stamp);
        is_outranked(latest, winner).then_some((latest, winner))
    }

    /// Size in bytes of the texts that producers may make long.
    pub fn text_len(&self) -> usize {
        let changed = [&self.name, &self.description, &self.cell_name, &self.parameterized_model_name];
        let changed = changed.into_iter().flatten().map(|register| register.value.len());
        let created = self.created.as_ref().map_or(0, |created| created.value.text_len());
        created + changed.sum::<usize>() + self.job.text_len()
    }

    /// Returns the creation if readers may see the optimization: it was created, and not deleted.
    pub fn visible_creation(&self) -> Option<&Register<CreationFacts>> {
        self.created.as_ref().filter(|_| self.deleted.is_none())
    }
}

/// Returns true for a greater version, or for the same event at an earlier position.
fn supersedes(stamp: &Stamp, held: &Stamp) -> bool {
    (&stamp.version, held.source) > (&held.version, stamp.source)
}
