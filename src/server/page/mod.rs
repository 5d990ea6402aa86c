//! The status page. It is rendered on the server and complete without JavaScript, which only
//! refreshes it every few seconds and shows times in the reader's zone.

mod actions;
mod activity;
mod books;
mod companies;
mod coverage;
mod drift;
mod form;
mod view;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::{self, HeaderName};
use axum::response::Html;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Deserialize;

pub(super) use self::form::sync_now;
use self::view::View;
use super::reply::Reply;
use super::state::{AppState, Shared};
use crate::app::{CompanyReport, TieOut};
use crate::error::Result;
use crate::language::{Language, say};

/// The most companies that the page shows, so that a browser can show it and the database is not asked for
/// thousands of calendars every few seconds.
const MAX_COMPANIES: usize = 50;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The query of the page.
#[derive(Deserialize)]
pub(super) struct PageQuery {
    /// The language; without it the browser's.
    lang: Option<String>,
    /// A part of the id or of the name of a company; without it, all companies are meant.
    company: Option<String>,
}

/// Renders the page for `GET /`.
pub(super) async fn show(
    State(state): Shared,
    headers: HeaderMap,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Reply<([(HeaderName, String); 2], Html<String>)> {
    let Query(PageQuery { lang, company }) = query?;
    let accepted = headers.get(header::ACCEPT_LANGUAGE);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    let language = match &lang {
        Some(code) => code.parse()?,
        None => accepted.map_or(Language::En, Language::accepted),
    };
    let wanted = company.as_deref().unwrap_or_default().trim();
    let page = page(&state, language, lang.is_some(), wanted).await?;
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy()),
        // Without it, browsers send the form with the origin `null`, which is refused.
        (header::REFERRER_POLICY, "same-origin".to_owned()),
    ];
    Ok((headers, Html(page.into_string())))
}

/// Returns the policy of the page: its own style and script, named by their hashes, and requests
/// and forms to this server alone.
fn policy() -> String {
    use base64::Engine as _;
    let hash = |text: &str| {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(digest)
    };
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

async fn page(
    state: &AppState,
    language: Language,
    is_chosen: bool,
    wanted: &str,
) -> Result<Markup> {
    let service = &state.service;
    let now = crate::clock::now();
    let mut accounts = service.accounts().await?;
    let shown = service
        .shown_companies(&accounts, wanted, MAX_COMPANIES)
        .await?;
    let place = |account: &CompanyReport| {
        let mut realm_ids = shown.realm_ids.iter();
        realm_ids.position(|realm_id| *realm_id == account.account.realm_id)
    };
    accounts.retain(|account| place(account).is_some());
    accounts.sort_by_cached_key(place);
    // Gaps of any time need somebody; the calendar shows the last months.
    let begin = chrono::DateTime::UNIX_EPOCH;
    let coverage = service.coverage(begin, Some(&shown.realm_ids)).await?;
    let overview = service.overview(&shown, &coverage, &accounts).await?;
    let jobs = service.recent_jobs().await?;
    let drift = service.schema_drift().await?;
    let books = service.tie_outs().await?;
    let (limits, quota) = service.limits()?;
    let view = View {
        language,
        is_chosen,
        now,
        quota,
        token: state.form_token.text(),
        wanted,
        shown: &shown,
        overview: &overview,
        accounts: &accounts,
        coverage: &coverage,
        books: &books,
    };
    let is_shown = |one: &&TieOut| shown.realm_ids.contains(&one.realm_id);
    let compared: Vec<TieOut> = books.iter().filter(is_shown).cloned().collect();
    let main = html! {
        p.time { (say!(in language; "As of")) " " (view.when(now)) }
        (actions::actions(&view))
        (companies::companies(&view))
        (companies::traffic(&view, limits))
        (activity::jobs(&view, &jobs))
        (activity::runs(&view))
        (coverage::coverage(&view))
        (books::tie_outs(&view, &compared))
        (drift::differences(&view, &drift))
    };
    Ok(frame(language, &main))
}

/// Renders what is around the content.
fn frame(language: Language, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(language.code()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "qbo_rs" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#content" { (say!(in language; "Skip to content")) }
                header { h1 { (say!(in language; "QuickBooks in Postgres")) } }
                main #content { (main) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}
