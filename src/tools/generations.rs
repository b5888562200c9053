//! `optview generations`: what there is in the data directory, the live one and those beside it; and the removal of one that
//! is not needed any more.

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::context::{ToolContext, ToolOutcome};
use crate::data_dir::{self, GenerationListing, MissingHistory, PartitionPosition, Surplus};
use crate::generation::plan_file;
use crate::store;
use crate::terminal::table;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its directory's name; one that was moved aside has a suffix.
    pub generation: String,
    pub live: bool,
    /// It is live, and shown as it was left: it is another version's, or somebody asked for that.
    #[serde(default)]
    pub frozen: bool,
    /// The fold format; `None` if it is not known.
    pub format: Option<u8>,
    /// Number of views that readers see, or saw when it was closed; `None` if a kill left that unknown.
    pub views: Option<u64>,
    /// Bytes on the disk.
    pub bytes: u64,
    /// RFC 3339; `None` where it is not known.
    pub created_at: Option<String>,
    /// The positions of its last checkpoint; `None` if a kill left that unknown.
    pub positions: Option<Vec<PartitionPosition>>,
    /// Records that it is built without, and when somebody accepted that.
    #[serde(default)]
    pub missing_history: Vec<MissingHistory>,
    /// The reason why it cannot be used.
    pub damage: Option<String>,
    /// The surplus of the generation over the one that took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds_more: Option<Surplus>,
}

pub fn list(access: &ToolContext) -> anyhow::Result<ToolOutcome> {
    let listed = data_dir::list(&access.data_dir)?;
    let generations: anyhow::Result<Vec<Generation>> =
        listed.into_iter().map(|listed| generation(access, listed)).collect();
    ToolOutcome::new(&generations?)
}

/// Removes one that is not live.
///
/// # Errors
/// Removes a generation. Refuses where the generation is needed, and, unless that loss is accepted, where it has more than
/// the one that took its place.
pub fn remove(access: &ToolContext, generation: u64, accept_loss: bool) -> anyhow::Result<ToolOutcome> {
    let data_dir = &access.data_dir;
    if data_dir::current(data_dir)? == Some(generation) {
        bail!("generation {generation:06} is the live one: readers see it");
    }
    if !data_dir::exists(data_dir, generation)? {
        bail!("there is no generation {generation:06}: `optview generations` lists them");
    }
    let under_way = access.engine.as_ref().and_then(|engine| engine.rebuild());
    let under_way = under_way.filter(|ticket| ticket.look().1.is_none()).map(|ticket| ticket.plan().generation);
    let waiting = plan_file::waiting(data_dir)?.map(|plan| plan.generation);
    if under_way == Some(generation) || waiting == Some(generation) {
        bail!(
            "generation {generation:06} is being made, or brought up to date: `optview rebuild --status` shows it, `--abort` \
             ends it"
        );
    }
    if !accept_loss
        && let Some(Surplus { replaced_by, what, .. }) =
            data_dir::surplus(&data_dir::directory(data_dir, generation))?
    {
        bail!(
            "generation {generation:06} has more than generation {replaced_by}, which took its place ({what}), and the topics \
             do not give that any more. With --accept-loss it is removed"
        );
    }
    data_dir::remove(data_dir, generation)?;
    list(access)
}

fn generation(access: &ToolContext, listed: GenerationListing) -> anyhow::Result<Generation> {
    let GenerationListing { name, live, damage, bytes, about, path: _ } = listed;
    let mut generation = Generation {
        generation: name,
        live,
        frozen: false,
        format: about.format,
        views: about.closed.as_ref().map(|closed| closed.views),
        bytes,
        created_at: about.created_at,
        positions: about.closed.map(|closed| closed.positions),
        missing_history: about.missing_history,
        damage,
        holds_more: about.holds_more.filter(|_| !live),
    };
    if live {
        match &access.reader {
            Ok(reader) => {
                generation.frozen = reader.is_frozen();
                generation.format = reader.frozen_format().or(generation.format);
                generation.views = Some(reader.views());
                generation.positions = Some(store::positions(&reader.checkpoint()?));
                generation.missing_history = reader.missing_history()?;
            }
            Err(error) => generation.damage = Some(error.to_string()),
        }
    }
    Ok(generation)
}

/// Formats the list of generations for people.
pub fn text(generations: &[Generation]) -> String {
    let unknown = || "?".to_owned();
    let row = |generation: &Generation| {
        let positions = generation.positions.as_ref().map(|positions| {
            format!("{} in {} partitions", positions.iter().map(|at| at.next_offset).sum::<i64>(), positions.len())
        });
        vec![
            generation.generation.clone(),
            match (generation.live, generation.frozen) {
                (true, true) => "live, frozen",
                (true, false) => "live",
                (false, _) => "",
            }
            .to_owned(),
            generation.format.map_or_else(unknown, |format| format.to_string()),
            generation.views.map_or_else(unknown, |views| views.to_string()),
            bytesize::ByteSize(generation.bytes).to_string(),
            generation.created_at.as_deref().map_or_else(unknown, creation_time),
            positions.unwrap_or_else(unknown),
            missing_history(&generation.missing_history),
            match (&generation.damage, &generation.holds_more) {
                (Some(why), _) => format!("damaged: {why}"),
                (None, Some(more)) => {
                    format!("has more than {}, which took its place: {}", more.replaced_by, more.what)
                }
                (None, None) => String::new(),
            },
        ]
    };
    let head = ["GENERATION", "", "FORMAT", "VIEWS", "SIZE", "CREATED", "READ UP TO", "MISSING", ""]
        .map(str::to_owned)
        .to_vec();
    table([head].into_iter().chain(generations.iter().map(row)).collect())
}

/// Describes the missing history of a generation: the numbers of records and partitions, and whether it has been accepted.
fn missing_history(missing_history: &[MissingHistory]) -> String {
    let records: i64 = missing_history.iter().map(|missing| missing.to - missing.from).sum();
    let is_accepted = missing_history.iter().all(|missing| missing.accepted_at.is_some());
    match (missing_history.len(), is_accepted) {
        (0, _) => "-".to_owned(),
        (partitions, true) => format!("{records} of {partitions} partitions, accepted"),
        (partitions, false) => format!("{records} of {partitions} partitions, not accepted"),
    }
}

/// Formats a time of creation together with its age.
fn creation_time(at: &str) -> String {
    let age = chrono::DateTime::parse_from_rfc3339(at).ok().and_then(|at| {
        let seconds = chrono::Utc::now().signed_duration_since(at).num_seconds();
        Some(std::time::Duration::from_secs(u64::try_from(seconds).ok()?))
    });
    match age {
        Some(age) => format!("{at}, {} ago", humantime::format_duration(age)),
        None => at.to_owned(),
    }
}
