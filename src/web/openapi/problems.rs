//! Problem responses of the OpenAPI document: those that a route declares, and those implied by its method, body and
//! credentials.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use serde_json::Value;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{Components, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::error::{Code, FieldError, PROBLEM_JSON, Problem};
use crate::http::form::FORM;
use crate::oauth::{OAuthError, with_oauth_error};
use crate::web::health::HealthReport;

use super::{problem_headers, security_schemes_and_errors};

/// The statuses for a request head that is too large, possible on any route.
const TOO_LARGE_HEAD: [StatusCode; 2] =
    [StatusCode::URI_TOO_LONG, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE];

/// The extension members of problem documents (RFC 9457, section 3.2).
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the derived schema alone")]
struct Extensions {
    /// With `validation_failed`: every invalid member or parameter.
    #[schema(required = false, nullable = false)]
    errors: Vec<FieldError>,
    /// On OAuth routes: the OAuth error code.
    #[schema(required = false, nullable = false)]
    error: OAuthError,
    /// From `/health/ready`: the status of each component.
    #[schema(required = false, nullable = false)]
    checks: HealthReport,
    /// With `insufficient_user_authentication`: the step-up methods that would suffice; empty if there are none. With
    /// `second_factor_required`: the second factors of the account (`totp`, `recovery_code`, `passkey`). With `link_required`: the ways to
    /// sign in to the account (`password`, `passkey`, `email`, names of providers).
    #[schema(required = false, nullable = false, example = json!(["password"]))]
    methods: Vec<String>,
    /// With `second_factor_required`: goes on with a code of the second factor, or with a passkey or security key. With
    /// `link_required`: goes on with one of `methods`. With `email_required`: goes to `POST /challenges`, with an `email`.
    #[schema(required = false, nullable = false, example = "dac_…")]
    challenge: String,
    /// With `second_factor_required` and `link_required`, if `methods` has `passkey`: the options for the browser, as JSON for
    /// `PublicKeyCredential.parseRequestOptionsFromJSON()` (Web Authentication Level 3).
    #[schema(required = false, nullable = false, value_type = Object)]
    passkey: serde_json::Value,
    /// With `challenge`: when the challenge expires.
    #[schema(required = false, nullable = false)]
    expires_at: DateTime<Utc>,
    /// With `insufficient_user_authentication`: the required assurance level, if that is missing (RFC 9470).
    #[schema(required = false, nullable = false, example = "aal2")]
    acr_values: String,
    /// With `insufficient_user_authentication`: the maximum age of the authentication, in seconds, if that is exceeded.
    #[schema(required = false, nullable = false, example = 600)]
    max_age: u32,
}

/// Adds the extension members to the schema `Problem`.
pub(super) fn declare(components: &mut Components) {
    if let (Some(RefOr::T(Schema::Object(problem))), RefOr::T(Schema::Object(extensions))) =
        (components.schemas.get_mut("Problem"), Extensions::schema())
    {
        problem.properties.extend(extensions.properties);
    }
}

/// Adds the problem responses of a route: the declared ones, and those implied by its credentials, body and method.
pub(super) fn add(is_unsafe: bool, operation: &mut Operation) {
    let mut codes = vec![Code::Internal];
    codes.extend(is_unsafe.then_some(Code::CrossOrigin));
    codes.extend(body_error_codes(operation));
    codes.extend(security_schemes_and_errors::auth_error_codes(is_unsafe, operation));
    let head = TOO_LARGE_HEAD.map(|status| (status.as_u16(), Code::MalformedRequest));
    let codes: Vec<(u16, Code)> = codes
        .into_iter()
        .map(|code| (code.status(), code))
        .chain(head)
        .chain(declared_problems(operation))
        .collect();
    let is_oauth = security_schemes_and_errors::takes_client_credentials(operation);
    for status in codes.iter().map(|(status, _)| *status).collect::<BTreeSet<_>>() {
        let of_status = codes.iter().filter(|(of, _)| *of == status).map(|(_, code)| *code).collect();
        let problem = problem(status, &of_status, is_oauth);
        operation.responses.responses.insert(status.to_string(), RefOr::T(problem));
    }
}

fn body_error_codes(operation: &Operation) -> Vec<Code> {
    let Some(body) = &operation.request_body else { return Vec::new() };
    let is_form = matches!(body, RefOr::T(body) if body.content.contains_key(FORM));
    let codes = [Code::MalformedRequest, Code::UnsupportedMediaType, Code::PayloadTooLarge, Code::Timeout];
    codes.into_iter().chain((!is_form).then_some(Code::ValidationFailed)).collect()
}

/// The declared problems: responses whose description consists of codes, separated by commas: a status is declared once, or
/// the last one counts. The status may differ from the code's default.
fn declared_problems(operation: &Operation) -> Vec<(u16, Code)> {
    let named = operation.responses.responses.iter().filter_map(|(status, response)| {
        let RefOr::T(response) = response else { return None };
        let status: u16 = status.parse().ok()?;
        let codes = response.description.split(", ");
        let codes = codes.map(|code| serde_json::from_value(Value::String(code.to_owned())));
        let codes: Vec<Code> = codes.collect::<Result<_, _>>().ok()?;
        Some(codes.into_iter().map(move |code| (status, code)))
    });
    named.flatten().collect()
}

/// The example with the members that say what to do next, if there are any.
fn with_next_step(problem: Problem, code: Code) -> Problem {
    match code {
        Code::SecondFactorRequired => problem
            .with("challenge", "dac_…")
            .with("expires_at", "2026-11-21T09:40:00.000000Z")
            .with("methods", ["totp", "recovery_code"]),
        Code::InsufficientUserAuthentication => {
            problem.with("acr_values", "aal2").with("max_age", 600).with("methods", ["totp", "recovery_code"])
        }
        _ => problem,
    }
}

/// The response for one status. `is_oauth`: its examples have an OAuth error code.
fn problem(status: u16, codes: &BTreeSet<Code>, is_oauth: bool) -> Response {
    let words: Vec<String> = codes.iter().map(|code| format!("`{}`", code.as_str())).collect();
    let examples = codes.iter().map(|code| {
        let problem = Problem::new(*code, code.title()).with_status(status);
        let problem = if is_oauth { with_oauth_error(problem) } else { with_next_step(problem, *code) };
        let example = serde_json::to_value(problem).ok();
        (code.as_str(), ExampleBuilder::new().summary(code.title()).value(example).build())
    });
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(examples)
        .build();
    let mut response =
        ResponseBuilder::new().description(words.join(", ")).content(PROBLEM_JSON, content).build();
    response
        .headers
        .extend(problem_headers::of_status(status).map(|(name, header)| (name.to_owned(), header)));
    response
}
