//! A view as it is read from a topic of views, in whichever form it was published. It is taken only if it can be shown again to the byte:
//! whatever this version does not know is refused, and never left out.

use prost::Message as _;
use serde_json::value::RawValue;

use super::protobuf_types::views_v1::OptimizationView;
use super::published_view::ViewsFormat;
use super::view_json;
use crate::domain::{Status, Timestamp, View};

/// The reason for which a value on a topic of views cannot be shown, as the end of a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnreadableView(String);

/// A view that was read from a topic of views.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicatedView {
    message: OptimizationView,
    status: Option<Status>,
    created_at: Timestamp,
    len: usize,
}

impl ReplicatedView {
    /// Decodes a value of a topic of views. Its form is known by its media type, and JSON says by itself whether it is flat.
    ///
    /// # Errors
    /// The value is no view, or has something that this version would not show.
    pub fn decode(value: &[u8], content_type: Option<&str>) -> Result<ReplicatedView, UnreadableView> {
        let is_protobuf = content_type == Some(ViewsFormat::Protobuf.content_type());
        if !is_protobuf && content_type != Some(ViewsFormat::Json.content_type()) {
            let named = content_type.unwrap_or("nothing");
            return Err(UnreadableView(format!("its content-type is {named}, which no view has")));
        }
        let message = if is_protobuf { of_protobuf(value)? } else { of_json(value)? };
        let view = ReplicatedView {
            status: message.status.as_deref().map(status_of).transpose()?,
            created_at: created_at_of(&message)?,
            len: value.len(),
            message,
        };
        view.check_objects()?;
        view.check_bytes(value, is_protobuf)?;
        Ok(view)
    }

    /// Returns the view.
    pub fn view(&self) -> View<'_> {
        let OptimizationView {
            id,
            name,
            description,
            project_id,
            organization_id,
            status: _,
            kind,
            created_at: _,
            created_by_email,
            cell_spec_id,
            parameterized_model_id,
            parameterized_model_name,
            cell_name,
            optimization_template_id,
            metrics,
            objectives,
            error,
            error_code,
            run_count,
        } = &self.message;
        View {
            id,
            name: name.as_deref(),
            description: description.as_deref(),
            project_id,
            organization_id,
            status: self.status,
            kind: kind.as_deref(),
            created_at: self.created_at,
            created_by_email: created_by_email.as_deref(),
            cell_spec_id: cell_spec_id.as_deref(),
            parameterized_model_id: parameterized_model_id.as_deref(),
            parameterized_model_name: parameterized_model_name.as_deref(),
            cell_name: cell_name.as_deref(),
            optimization_template_id: optimization_template_id.as_deref(),
            metrics: metrics.as_deref(),
            objectives: objectives.as_deref(),
            error: error.as_deref(),
            error_code: error_code.as_deref(),
            run_count: *run_count,
        }
    }

    /// Number of bytes that the value has on the topic.
    pub fn published_len(&self) -> usize {
        self.len
    }

    /// Checks that the free objects are objects, since they become parts of answers as they are.
    fn check_objects(&self) -> Result<(), UnreadableView> {
        for (name, text) in [("metrics", &self.message.metrics), ("objectives", &self.message.objectives)] {
            let Some(text) = text else { continue };
            let is_object = text.starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok();
            if !is_object {
                return Err(UnreadableView(format!("its `{name}` is not the text of a JSON object")));
            }
        }
        Ok(())
    }

    /// Checks that the view, published again, has the bytes that it was read from.
    fn check_bytes(&self, value: &[u8], is_protobuf: bool) -> Result<(), UnreadableView> {
        let listed = view_json::listed(&self.view());
        let is_same = if is_protobuf {
            self.message.encode_to_vec() == value
        } else {
            listed == value || ViewsFormat::Flat.encode(listed).is_ok_and(|flat| flat == value)
        };
        if is_same {
            return Ok(());
        }
        Err(UnreadableView(
            "it has something that this version does not show: is its publisher of a newer one?".to_owned(),
        ))
    }
}

fn of_protobuf(value: &[u8]) -> Result<OptimizationView, UnreadableView> {
    OptimizationView::decode(value).map_err(|error| UnreadableView(format!("it is no message of a view: {error}")))
}

fn of_json(value: &[u8]) -> Result<OptimizationView, UnreadableView> {
    let mut message: OptimizationView = serde_json::from_slice(value)
        .map_err(|error| UnreadableView(format!("it is no view in JSON: {error}")))?;
    for object in [&mut message.metrics, &mut message.objectives].into_iter().flatten() {
        if object.starts_with('"') {
            *object = serde_json::from_str(object)
                .map_err(|error| UnreadableView(format!("a text of it cannot be read: {error}")))?;
        }
    }
    Ok(message)
}

fn status_of(text: &str) -> Result<Status, UnreadableView> {
    let known = Status::ALL.into_iter().find(|status| status.as_str() == text);
    known.ok_or_else(|| UnreadableView(format!("its status `{text}` is none that this version knows")))
}

fn created_at_of(message: &OptimizationView) -> Result<Timestamp, UnreadableView> {
    let time = message.created_at.as_ref();
    let time = time.and_then(|time| Timestamp::new(time.seconds, u32::try_from(time.nanos).ok()?));
    time.ok_or_else(|| UnreadableView("its time of creation is none".to_owned()))
}
