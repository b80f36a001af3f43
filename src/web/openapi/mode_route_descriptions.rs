//! Documents the common routes for each mode: tags, operation ids, and the mode's own descriptions.

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{OpenApi, Ref, RefOr, Response};

use crate::auth::{Mode, RouteDocumentation};

use super::operations;

const JSON: &str = "application/json";

/// Completes the common routes below the mode's name. They are recognised by having no tag yet.
pub(super) fn complete(document: &mut OpenApi, mode: &dyn Mode) {
    let name = mode.name();
    for (path, item) in &mut document.paths.paths {
        let Some(route) = path.strip_prefix('/').and_then(|path| path.strip_prefix(name)) else { continue };
        let documentation = mode.documentation().iter().find(|documentation| documentation.path == route);
        for (_, operation) in operations(item).filter(|(_, operation)| operation.tags.is_none()) {
            operation.tags = Some(vec![name.to_owned()]);
            operation.operation_id = operation.operation_id.as_ref().map(|id| format!("{name}_{id}"));
            if let Some(documentation) = documentation {
                add(operation, documentation);
            }
        }
    }
}

fn add(operation: &mut Operation, documentation: &RouteDocumentation) {
    operation.summary = Some(documentation.summary.to_owned());
    operation.description = Some(documentation.description.to_owned());
    if !documentation.security.is_empty() {
        operation.security = Some(documentation.security.iter().map(|scheme| requirement(scheme)).collect());
    }
    if let Some(body) = documentation.optional_body {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(body))).build();
        operation.request_body = Some(RefOr::T(RequestBodyBuilder::new().content(JSON, content).build()));
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with('2')
        {
            add_to_success(response, documentation);
        }
    }
}

fn add_to_success(response: &mut Response, documentation: &RouteDocumentation) {
    if let Some(credential) = documentation.credential {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(credential))).build();
        response.content.insert(JSON.to_owned(), content.into());
    }
    if let Some(set_cookie) = documentation.set_cookie {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let header = HeaderBuilder::new().schema(Some(text)).description(Some(set_cookie)).build();
        response.headers.insert("Set-Cookie".to_owned(), header.into());
    }
}

fn requirement(scheme: &str) -> SecurityRequirement {
    match scheme {
        "" => SecurityRequirement::default(),
        scheme => SecurityRequirement::new(scheme, [""; 0]),
    }
}
