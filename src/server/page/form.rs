//! The button "Sync now". A form is accepted from this page alone: it carries a token that only a
//! reader of the page knows, besides the key and the origin that `guard` has checked.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Redirect;
use maud::{Markup, html};
use subtle::ConstantTimeEq as _;

use super::super::reply::{ApiError, Reply};
use super::super::state::Shared;
use super::view::{View, address};
use crate::domain::is_realm_id;
use crate::language::{Language, say};

/// Renders the button of a company.
pub(super) fn button(view: &View<'_>, realm_id: &str) -> Markup {
    let language = view.language;
    let name = view.name(realm_id);
    html! {
        form method="post" action="/" {
            input type="hidden" name="token" value=(view.token);
            input type="hidden" name="realm_id" value=(realm_id);
            @if view.is_chosen { input type="hidden" name="lang" value=(language.code()); }
            @if !view.wanted.is_empty() { input type="hidden" name="company" value=(view.wanted); }
            button id=(format!("sync-{realm_id}")) aria-label=(say!(in language; "Sync {name} now", name)) {
                (say!(in language; "Sync now"))
            }
        }
    }
}

/// Queues a sync of one company for `POST /`, and shows the page again.
pub(in crate::server) async fn sync_now(State(state): Shared, body: String) -> Reply<Redirect> {
    let field = |wanted: &str| {
        let mut fields = form_urlencoded::parse(body.as_bytes());
        let found = fields.find(|(name, _)| name == wanted);
        found
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    let expected = state.form_token.text().as_bytes();
    if !bool::from(field("token").as_bytes().ct_eq(expected)) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "the form is out of date: load the page again",
        ));
    }
    let realm_id = field("realm_id");
    let accounts = state.service.accounts().await?;
    let is_known = accounts
        .iter()
        .any(|account| account.account.realm_id == realm_id);
    if !is_realm_id(&realm_id) || !is_known {
        return Err(ApiError::not_found("no such company is connected"));
    }
    state.service.sync_now(&realm_id).await?;
    let language = field("lang").parse::<Language>().ok();
    Ok(Redirect::to(&address(language, &field("company"))))
}
