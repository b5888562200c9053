//! The doubts about an event that is understood: what a producer has probably not meant.

use chrono::{TimeDelta, Utc};
use serde::Serialize;

use crate::codec::unknown_fields::{self, UnknownField};
use crate::codec::{Framing, encode};
use crate::domain::event::{Envelope, OptimizationChange};
use crate::domain::fold::Effects;
use crate::domain::{Body, Record, Timestamp};

/// Time by which a producer's clock may be ahead of this one.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// Length in bytes above which a name is doubtful; the longest that people write have about 200.
const LONG_NAME: usize = 1024;
/// Length in bytes above which a description is doubtful.
const LONG_DESCRIPTION: usize = 64 << 10;
/// Size in bytes above which a record is doubtful: brokers take 1 MiB by default, with the batch around it.
const LARGE_RECORD: usize = 1_000_000;
/// The least likeness of two names, between 0 and 1, for one to be taken for the other mistyped.
const LIKENESS: f64 = 0.8;

/// The code of the doubt about a deletion before which nothing was created.
pub const DELETES_NOTHING: &str = "deletes_nothing";

/// A doubt about an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Doubt {
    /// The kind of doubt, a word for programs.
    pub code: &'static str,
    /// The doubt for people, and what to do.
    pub text: String,
}

impl Doubt {
    fn new(code: &'static str, text: impl Into<String>) -> Doubt {
        Doubt { code, text: text.into() }
    }
}

/// Returns the doubts about an event by itself. `has_key` is false where nobody knows the key that the record will have.
pub fn of_event(record: &Record<'_>, envelope: &Envelope<'_>, framing: Framing, has_key: bool) -> Vec<Doubt> {
    let mut doubts = of_fields(record, framing);
    let metadata = &envelope.event.metadata;
    if has_key {
        doubts.extend(of_key(record.key, encode::key(&envelope.event)));
    }
    if let Some(text) = ahead_of_now(metadata.occurred_at) {
        doubts.push(Doubt::new("future", text));
    }
    if metadata.sequence == 0 && record.value.is_some() {
        doubts.push(Doubt::new(
            "no_sequence",
            "metadata.sequence is missing, so that the clocks of the producers order the events; all producers of an \
             optimization, a job or a run give sequences, or none does",
        ));
    }
    doubts.extend(long_texts(&envelope.event.body));
    if record.size() > LARGE_RECORD {
        let text = format!("the record has {} bytes; brokers take about 1,000,000 by default", record.size());
        doubts.push(Doubt::new("large_record", text));
    }
    if envelope.nulled_numbers > 0 {
        let text =
            format!("numbers that JSON does not have (NaN, Infinity) become null: {}", envelope.nulled_numbers);
        doubts.push(Doubt::new("number_became_null", text));
    }
    doubts
}

/// Returns the doubts about the fields of a record: those that the contract does not have.
pub fn of_fields(record: &Record<'_>, framing: Framing) -> Vec<Doubt> {
    unknown_fields::find(record, framing).unwrap_or_default().iter().map(of_unknown_field).collect()
}

/// Returns the doubts about an event beside the events that came before it.
pub fn of_effects(effects: &Effects) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    if let Some(outranking) = &effects.outranked {
        let text = format!(
            "the {} of {} {} changes nothing, though it occurred later than what it loses to (sequence {} against {}): \
             a sequence decides before the time, and none loses to any",
            outranking.kind,
            outranking.topic,
            outranking.id,
            outranking.event.version.sequence,
            outranking.winner.version.sequence
        );
        doubts.push(Doubt::new("outranked", text));
    }
    for (is_so, code, text) in [
        (effects.irregular, "irregular_status", "the job should not take this status after the one before"),
        (
            effects.mismatched,
            "other_optimization",
            "optimization_id is not the optimization that links the job; the link counts",
        ),
        (effects.deleted_nothing, DELETES_NOTHING, "the optimization was not created in an event before"),
    ] {
        if is_so {
            doubts.push(Doubt::new(code, text));
        }
    }
    doubts
}

fn of_unknown_field(UnknownField { path, known }: &UnknownField) -> Doubt {
    let name = path.rsplit('.').next().unwrap_or(path);
    let likest = known.iter().map(|known| (strsim::jaro_winkler(known, name), known));
    let likest =
        likest.filter(|(likeness, _)| *likeness >= LIKENESS).max_by(|(one, _), (other, _)| one.total_cmp(other));
    let text = match likest {
        Some((_, known)) => format!("{path} is no field of the contract, and is ignored; {known} is one"),
        None => format!("{path} is no field of the contract, and is ignored"),
    };
    Doubt::new("unknown_field", text)
}

fn of_key(key: Option<&[u8]>, id: &str) -> Option<Doubt> {
    match key {
        Some(key) if key == id.as_bytes() => None,
        Some(key) => {
            let key = String::from_utf8_lossy(key);
            Some(Doubt::new(
                "other_key",
                format!("the record's key is {key:?}, and the contract wants the id, {id:?}"),
            ))
        }
        None => {
            Some(Doubt::new("no_key", format!("the record has no key, and the contract wants the id, {id:?}")))
        }
    }
}

fn ahead_of_now(occurred_at: Timestamp) -> Option<String> {
    let ahead = TimeDelta::try_milliseconds(occurred_at.millis().saturating_sub(Utc::now().timestamp_millis()))?;
    (ahead > CLOCK_TOLERANCE).then(|| {
        format!(
            "metadata.occurred_at is {occurred_at}, which is yet to come: without sequences, no event changes anything \
             until then"
        )
    })
}

fn long_texts(body: &Body<'_>) -> Vec<Doubt> {
    let Body::Optimization { change, .. } = body else { return Vec::new() };
    let texts: Vec<(&str, usize, Option<&str>)> = match change {
        OptimizationChange::Created(created) => vec![
            ("created.name", LONG_NAME, created.name.as_deref()),
            ("created.description", LONG_DESCRIPTION, created.description.as_deref()),
            ("created.cell_name", LONG_NAME, created.cell_name.as_deref()),
            ("created.parameterized_model_name", LONG_NAME, created.parameterized_model_name.as_deref()),
        ],
        OptimizationChange::DetailsChanged { name, description } => vec![
            ("details_changed.name", LONG_NAME, name.as_deref()),
            ("details_changed.description", LONG_DESCRIPTION, description.as_deref()),
        ],
        OptimizationChange::DisplayNamesChanged { cell_name, parameterized_model_name } => vec![
            ("display_names_changed.cell_name", LONG_NAME, cell_name.as_deref()),
            ("display_names_changed.parameterized_model_name", LONG_NAME, parameterized_model_name.as_deref()),
        ],
        OptimizationChange::JobLinked { .. } | OptimizationChange::Deleted => Vec::new(),
    };
    texts
        .into_iter()
        .filter_map(|(path, limit, text)| {
            let len = text.map(str::len).filter(|len| *len > limit)?;
            Some(Doubt::new(
                "long_text",
                format!("{path} has {len} bytes, which every reader of the view is sent"),
            ))
        })
        .collect()
}
