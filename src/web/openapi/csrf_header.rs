//! The request header with the CSRF token, declared once in the OpenAPI document.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Components, Ref, RefOr, Required};

use crate::auth::CSRF_HEADER;

/// The component name of the CSRF header's parameter.
const CSRF_PARAMETER: &str = "CsrfToken";

/// Declares the CSRF header.
pub(super) fn declare(components: &mut Components) {
    let csrf = ParameterBuilder::new()
        .name(CSRF_HEADER)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "The login's CSRF token, from the response of `login` or `csrf`. Needed if a cookie authenticates the \
             request, not with a Bearer token.",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
    components.parameters.insert(CSRF_PARAMETER.to_owned(), csrf.build().into());
}

/// A reference to the CSRF header's parameter.
pub(super) fn reference() -> RefOr<Parameter> {
    RefOr::Ref(Ref::new(format!("#/components/parameters/{CSRF_PARAMETER}")))
}
