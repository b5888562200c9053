//! The description of the read API in OpenAPI 3.1, which `/openapi.json` answers. It is made of the same names and limits as the API;
//! a test compares it with the routes and with what they answer.

mod operations;
mod parameters;
mod responses;
mod schemas;

use std::sync::LazyLock;

use bytes::Bytes;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};

const DESCRIPTION: &str = "One flat, current view of each optimization, kept up to date from Kafka.\n\n\
    Every answer carries `x-correlation-id`, and `x-optview-state`: how current it is. Only a `live` instance answers that an id does not \
    exist; others answer 503, with `Retry-After` if asking again may help. Where access is checked, a request carries a key or a token, and sees the \
    organizations of its owner only; another organization's id is answered as one that does not exist.";

/// The document as JSON. It is the same for every request.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let text =
        document().to_pretty_json().expect("the document has strings, numbers and maps with string keys only");
    Bytes::from(text)
});

/// Returns the document as JSON.
pub fn json() -> Bytes {
    DOCUMENT.clone()
}

fn document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("optview")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .build();
    let tags = [
        ("views", "The views of optimizations, one by one and as lists."),
        ("live", "The views as they change: server-sent events."),
        ("caller", "The caller, as the server knows them."),
        ("health", "Whether the process lives, and whether it should get requests. Both need no key."),
    ];
    let components = schemas::add_to(ComponentsBuilder::new())
        .security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))))
        .security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    OpenApiBuilder::new()
        .info(info)
        .tags(Some(
            tags.map(|(name, description)| TagBuilder::new().name(name).description(Some(description)).build()),
        ))
        .components(Some(components.build()))
        .paths(operations::paths())
        .build()
}

#[cfg(test)]
mod tests;
