//! QuickBooks reports, landed in Postgres.

mod request;
mod result;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use tracing::{Instrument, info_span};

pub use self::request::{ReportParameter, ReportsRequest};
use self::result::lines;
pub use self::result::{
    AnswerSummary, KnownReport, LandedReportSummary, ReportLine, ReportStatus, ReportsReport,
    known_reports,
};
use super::App;
use super::company::{Company, Source, company_config};
use super::company_schema::Binding;
use crate::domain::reports::{Basis, ReportRequest, find_report};
use crate::error::{Error, Result};
use crate::port::{Meter, RunName, Source as _};
use crate::quickbooks::LandedReport;
use crate::sink::postgres::{Landed, LandedAnswer, Landing, PostgresSink};

/// Connections that landing needs: one for the transaction, one to look at records.
const CONNECTIONS: usize = 2;

/// The report that shows whether anything has moved.
const BALANCE: &str = "TrialBalance";

impl App {
    /// Asks QuickBooks for reports and lands them. A report that fails does not affect the others.
    ///
    /// # Errors
    /// Returns errors of the settings, the request, the tables and the credentials. Failures of single
    /// reports are in the result.
    pub async fn reports(&self, request: &ReportsRequest) -> Result<ReportsReport> {
        let asks = request.asks()?;
        let config = company_config(&self.settings).await?;
        let postgres = self.settings.postgres()?;
        if !config.mask.is_empty() {
            tracing::warn!(
                phase = "extract",
                event = "reports_not_masked",
                "QuickBooks reports are stored with all names and texts in them: QBO_MASK is about records"
            );
        }
        let sink = PostgresSink::connect(&postgres, &request.schema, CONNECTIONS).await?;
        sink.check_server().await?;
        let (source, connection) = Company::open(&self.settings, &config, &self.progress)
            .await?
            .into_parts();
        let realm_id = &config.realm_id;
        let mut binding = Binding::begin(&postgres, &sink, (realm_id, &connection)).await?;
        let prepared = async {
            sink.prepare_reports(realm_id).await?;
            source.prepare().await
        };
        binding.after(prepared.await).await?;
        let names: Vec<_> = asks.iter().map(|ask| (ask.report.route, 1)).collect();
        self.progress.call_started(realm_id, &names);
        let mut run = ReportsRun {
            request,
            source,
            sink,
            balances: BTreeMap::new(),
            landed: Vec::new(),
        };
        let span = info_span!("reports", realm_id = realm_id.as_str());
        let reports = async {
            for ask in &asks {
                let route = ask.report.route;
                let name = RunName {
                    realm_id,
                    entity: route,
                };
                self.progress.run_started(name, 1);
                run.report(ask).await?;
                let answers = run.landed.last().map(|landed| &landed.answers[..]);
                let rows: u64 = answers.unwrap_or_default().iter().map(|a| a.rows).sum();
                self.progress.page_read(name, rows as usize);
                self.progress.run_finished(name);
            }
            Ok::<_, Error>(run.landed)
        };
        let reports = binding.after(reports.instrument(span).await).await?;
        binding.end(false).await;
        Ok(ReportsReport {
            realm_id: realm_id.clone(),
            schema: request.schema.clone(),
            reports,
        })
    }
}

/// A call of the verb.
struct ReportsRun<'r> {
    request: &'r ReportsRequest,
    source: Arc<Source>,
    sink: PostgresSink,
    /// Since when the trial balance is what it is, by its day and basis; `None` if it could not be read.
    balances: BTreeMap<(NaiveDate, &'static str), Option<DateTime<Utc>>>,
    landed: Vec<LandedReportSummary>,
}

impl ReportsRun<'_> {
    /// Lands a report, unless nothing has changed.
    ///
    /// # Errors
    /// Only those after which every other report would fail.
    async fn report(&mut self, ask: &ReportRequest) -> Result<()> {
        let is_done = |done: &LandedReportSummary| is_of(done, ask);
        if self.request.changed && self.landed.iter().any(is_done) {
            // A trial balance that was asked for already, to see whether it has moved.
            return Ok(());
        }
        let landed = match self.is_as_before(ask).await {
            Ok(true) => summary(ask, ReportStatus::Skipped),
            Ok(false) => self.ask(ask).await?,
            Err(error) => failed(ask, error, 0)?,
        };
        self.landed.push(landed);
        Ok(())
    }

    /// Returns true if a report need not be asked for again.
    async fn is_as_before(&mut self, ask: &ReportRequest) -> Result<bool> {
        if !self.request.changed || ask.end.is_none() || ask.report.route == BALANCE {
            return Ok(false);
        }
        let realm_id = self.source.realm_id();
        let Some(known) = self.sink.report_times(realm_id, ask).await? else {
            return Ok(false);
        };
        // Reports of a range without its own first day, such as balances, count all days before.
        let first = ask.start.filter(|_| ask.report.adds_up);
        let days = (first, ask.end);
        if self.sink.has_changes(days, known.answered_at).await? {
            return Ok(false);
        }
        // What has left the days at their beginning shows in the balance before them alone.
        let before = first.and_then(|first| first.pred_opt());
        let mut is_as_before = true;
        // Both are landed, so that the next call knows them.
        for day in before.into_iter().chain(ask.end) {
            let since = self
                .balance_since(day, ask.basis.unwrap_or_default())
                .await?;
            is_as_before &= since.is_some_and(|since| since <= known.last_seen);
        }
        Ok(is_as_before)
    }

    /// Lands the trial balance of a day, once, and returns since when it is what it is. `None` says that it
    /// could not be read.
    ///
    /// That it moved is not asked of this answer alone: it may have been landed since the report was.
    async fn balance_since(
        &mut self,
        day: NaiveDate,
        basis: Basis,
    ) -> Result<Option<DateTime<Utc>>> {
        let key = (day, basis.word());
        if let Some(since) = self.balances.get(&key) {
            return Ok(*since);
        }
        let balance = ReportRequest::new(find_report(BALANCE)?, basis, (day, day), &[], &[])?;
        let landed = self.ask(&balance).await?;
        let since = match landed.status {
            ReportStatus::Landed => {
                let realm_id = self.source.realm_id();
                let times = self.sink.report_times(realm_id, &balance).await?;
                times.map(|times| times.new_since)
            }
            _ => None,
        };
        self.landed.push(landed);
        self.balances.insert(key, since);
        Ok(since)
    }

    /// Asks for a report and lands it.
    async fn ask(&self, ask: &ReportRequest) -> Result<LandedReportSummary> {
        let meter = Meter::default();
        match self.land(ask, &meter).await {
            Ok(landed) => Ok(LandedReportSummary {
                requests: meter.requests(),
                ..landed
            }),
            Err(error) => failed(ask, error, meter.requests()),
        }
    }

    async fn land(&self, ask: &ReportRequest, meter: &Meter) -> Result<LandedReportSummary> {
        let answers = self.source.report(ask, meter).await?;
        let to_land: Vec<Landed<'_>> = answers.iter().map(to_land).collect();
        let realm_id = self.source.realm_id();
        let landed = self.sink.land_report(realm_id, ask, &to_land).await?;
        let first = answers.first().map(LandedReport::answer);
        Ok(LandedReportSummary {
            currency: first.and_then(|answer| answer.currency.clone()),
            columns: first.map_or_else(Vec::new, |answer| {
                answer
                    .columns
                    .iter()
                    .map(|column| column.key.clone())
                    .collect()
            }),
            answers: answers.iter().zip(&landed).map(answer_summary).collect(),
            rows: match self.request.rows {
                true => answers
                    .iter()
                    .flat_map(|answer| lines(ask.report, answer.answer()))
                    .collect(),
                false => Vec::new(),
            },
            ..summary(ask, ReportStatus::Landed)
        })
    }
}

fn is_of(done: &LandedReportSummary, ask: &ReportRequest) -> bool {
    ask.parameters.is_empty()
        && ask.columns.is_empty()
        && done.report == BALANCE
        && done.report == ask.report.route
        && (done.start, done.end) == (ask.start, ask.end)
        && done.basis == basis_word(ask)
}

fn basis_word(ask: &ReportRequest) -> Option<String> {
    ask.basis.map(|basis| basis.word().to_lowercase())
}

fn summary(ask: &ReportRequest, status: ReportStatus) -> LandedReportSummary {
    LandedReportSummary {
        report: ask.report.route,
        basis: basis_word(ask),
        start: ask.start,
        end: ask.end,
        status,
        error: None,
        requests: 0,
        currency: None,
        columns: Vec::new(),
        answers: Vec::new(),
        rows: Vec::new(),
    }
}

/// Returns the summary of a report that failed.
///
/// # Errors
/// The failure, if every other report would fail in the same way.
fn failed(ask: &ReportRequest, error: Error, requests: u64) -> Result<LandedReportSummary> {
    if error.ends_company() {
        return Err(error);
    }
    let status = match error.is_unavailable() {
        true => ReportStatus::Unavailable,
        false => ReportStatus::Failed,
    };
    Ok(LandedReportSummary {
        error: Some(error.to_string()),
        requests,
        ..summary(ask, status)
    })
}

fn to_land(answer: &LandedReport) -> Landed<'_> {
    Landed {
        request: &answer.request,
        parsed: &answer.parsed,
        body: &answer.body,
        address: &answer.address,
        modern: answer.modern.as_deref(),
        intuit_tid: answer.intuit_tid.as_deref(),
        received_at: answer.received_at,
    }
}

fn word(landing: Landing) -> &'static str {
    match landing {
        Landing::New => "new",
        Landing::Changed => "changed",
        Landing::Unchanged => "unchanged",
    }
}

fn answer_summary((answer, landed): (&LandedReport, &LandedAnswer)) -> AnswerSummary {
    AnswerSummary {
        id: landed.id.clone(),
        start: answer.request.start,
        end: answer.request.end,
        outcome: word(landed.landing),
        rows: answer.answer().rows.len() as u64,
        cells: landed.cells,
    }
}
