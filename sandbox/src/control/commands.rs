//! The table of all commands.

use std::time::Duration;

use serde_json::{Value, json};

use super::arguments::Arguments;
use super::books::{change, change_one, entity_counts, truth};
use super::clock;
use super::command::{Command, CommandResult, company, company_state, done, parsed, to_json};
use super::plan;
use super::reports;
use crate::company::{Blemish, Include, IncludeAnswer, Refusal};
use crate::faults::FaultRule;
use crate::snapshot;
use crate::state::State;
use crate::webhooks::WebhookOptions;

/// Highest number of records in one `insert`, because each inserted record is kept as text.
const MAX_INSERTED: u32 = 100_000;

pub(super) const COMMANDS: &[Command] = &[
    Command::context("stats", "", "counts of the requests so far", |state, _| {
        to_json(&state.stats.stats())
    }),
    Command::changing(
        "stop",
        "",
        "end the sandbox, if `qbo-rs sandbox` serves it",
        |state, _| state.stopping.request().and_then(|()| done()),
    ),
    Command::changing("reset-stats", "", "set all counts to zero", |state, _| {
        state.stats.reset();
        done()
    }),
    Command::context(
        "entities",
        "[realm]",
        "the number of records of each entity",
        entity_counts,
    ),
    Command::context(
        "snapshot",
        "[realm]",
        "the company as one document, which restore takes",
        |state, arguments| snapshot::take(state, company_state(state, arguments)?),
    ),
    Command::changing(
        "restore",
        "snapshot [realm]",
        "put the company of a snapshot in the place of a company, with its clock and assumptions",
        |state, arguments| {
            let restored = snapshot::read(&arguments.required("snapshot")?)?;
            restored.install(state, company_state(state, arguments)?)?;
            done()
        },
    ),
    Command::context(
        "truth",
        "entity [start] [end] [realm]",
        "ids and payloads that a correct extract of a range must hold",
        truth,
    ),
    Command::changing(
        "put",
        "entity record [realm]",
        "add a record, or replace the record with its id",
        |state, arguments| {
            let record = arguments.json("record").unwrap_or_default();
            change(state, arguments, |company, entity, _| {
                company.put(entity, record).map(|()| Value::Null)
            })
        },
    ),
    Command::changing(
        "put-raw",
        "entity id record at [realm]",
        "add a record whose text queries answer as it is; they find and order it by id and at. A record that is not JSON is given as text",
        |state, arguments| {
            let (id, record) = (arguments.required("id")?, arguments.required("record")?);
            change(state, arguments, |company, entity, at| {
                company
                    .put_raw(entity, &id, &record, at)
                    .map(|()| Value::Null)
            })
        },
    ),
    Command::changing(
        "insert",
        "entity [count] [at] [realm]",
        "add generated records; answers their ids",
        |state, arguments| {
            let count: u32 = arguments.number("count")?.unwrap_or(1);
            if count > MAX_INSERTED {
                return Err(format!("count is at most {MAX_INSERTED}"));
            }
            change(state, arguments, |company, entity, at| {
                (0..count)
                    .map(|_| company.insert(entity, at).map(Value::from))
                    .collect()
            })
        },
    ),
    Command::changing(
        "edit",
        "entity id [at] [realm]",
        "save a record again",
        |state, arguments| {
            change_one(state, arguments, |company, entity, id, at| {
                company.edit(entity, id, at)
            })
        },
    ),
    Command::changing(
        "touch",
        "entity id [at] [realm]",
        "move a record's LastUpdatedTime and nothing else",
        |state, arguments| {
            change_one(state, arguments, |company, entity, id, at| {
                company.touch(entity, id, at)
            })
        },
    ),
    Command::changing(
        "delete",
        "entity id [at] [realm]",
        "delete a record for good",
        |state, arguments| {
            change_one(state, arguments, |company, entity, id, at| {
                company.delete(entity, id, at)
            })
        },
    ),
    Command::changing(
        "void",
        "entity id [at] [realm]",
        "void a transaction",
        |state, arguments| {
            change_one(state, arguments, |company, entity, id, at| {
                company.void(entity, id, at)
            })
        },
    ),
    Command::changing(
        "deactivate",
        "entity id [at] [realm]",
        "make a list record inactive",
        |state, arguments| {
            change_one(state, arguments, |company, entity, id, at| {
                company.deactivate(entity, id, at)
            })
        },
    ),
    Command::changing(
        "merge",
        "entity loser winner [at] [realm]",
        "merge one list record into another",
        |state, arguments| {
            let (loser, winner) = (arguments.required("loser")?, arguments.required("winner")?);
            change(state, arguments, |company, entity, at| {
                company
                    .merge(entity, &loser, &winner, at)
                    .map(|()| Value::Null)
            })
        },
    ),
    Command::changing(
        "corrupt",
        "entity id blemish [realm]",
        "give a record a defect: processing (pages fail with 4002), application (10000), healed, nul, surrogate, huge, time, earlier, later, fraction, offset, minus, numbers, nul-id, deep, unknown, bare, sparse",
        |state, arguments| {
            let blemish: Blemish = parsed(arguments.json("blemish").unwrap_or_default())?;
            change_one(state, arguments, |company, entity, id, _| {
                company.corrupt(entity, id, blemish)
            })
        },
    ),
    Command::changing(
        "fault",
        "fault [on] [nth] [times] [contains] [code] ...",
        "arm a fault; GET /sandbox lists faults",
        |state, arguments| {
            let rule = FaultRule::parse(&arguments.all()).map_err(|error| error.to_string())?;
            state.faults.lock().arm(rule);
            done()
        },
    ),
    Command::context(
        "faults",
        "",
        "the armed faults, and how many requests each has affected",
        |state, _| to_json(&state.faults.lock().list()),
    ),
    Command::changing("clear-faults", "", "disarm all faults", |state, _| {
        state.faults.lock().clear();
        done()
    }),
    Command::context(
        "assumptions",
        "",
        "the assumed behaviour where facts are uncertain",
        assumptions,
    ),
    Command::changing(
        "assume",
        "name value",
        "choose another behaviour",
        |state, arguments| {
            let (name, value) = (arguments.required("name")?, arguments.required("value")?);
            state.assumptions.write().set(&name, &value)?;
            done()
        },
    ),
    Command::changing(
        "visibility-delay",
        "seconds [realm]",
        "longest time that changes stay hidden from queries",
        |state, arguments| {
            let seconds: f64 = arguments.number("seconds")?.unwrap_or(0.0);
            let delay = Duration::try_from_secs_f64(seconds)
                .map_err(|_| format!("{seconds} is not a number of seconds"))?;
            company(state, arguments)?.set_visibility_delay(delay);
            done()
        },
    ),
    Command::changing(
        "unavailable",
        "entity code [realm]",
        "take an entity away from the company; requests for it get code 5020, 5030, 500 or 4001",
        |state, arguments| {
            let refusal = Refusal::of_code(&arguments.required("code")?)?;
            plan::refuse(state, arguments, Some(refusal))
        },
    ),
    Command::changing(
        "available",
        "entity [realm]",
        "give an entity back to the company",
        |state, arguments| plan::refuse(state, arguments, None),
    ),
    Command::changing(
        "close",
        "code [status] [message] [detail] [realm]",
        "close the company; every request gets the code, such as 6190, 120 or 3100",
        plan::close,
    ),
    Command::changing(
        "open",
        "[realm]",
        "open the company again",
        |state, arguments| {
            company(state, arguments)?.set_closure(None);
            done()
        },
    ),
    Command::changing(
        "classification",
        "id withdrawn [realm]",
        "withdraw a tax classification (withdrawn=true), or bring it back",
        |state, arguments| {
            let id = arguments.required("id")?;
            let is_withdrawn = parsed(arguments.json("withdrawn").unwrap_or_default())?;
            company(state, arguments)?.set_withdrawn(&id, is_withdrawn);
            done()
        },
    ),
    Command::changing(
        "plan",
        "name [realm]",
        "the name of the company's plan, which its entitlements say",
        |state, arguments| {
            let name = arguments.required("name")?;
            company(state, arguments)?.set_plan_name(&name);
            done()
        },
    ),
    Command::changing(
        "include",
        "name answer [realm]",
        "how the company answers include=name, with enhancedAllCustomFields or invoiceLink: served, refused or ignored",
        |state, arguments| {
            let name = arguments.required("name")?;
            let include = Include::find(&name)
                .ok_or_else(|| format!("'{name}' is not a value of include"))?;
            let answer: IncludeAnswer = parsed(arguments.json("answer").unwrap_or_default())?;
            company(state, arguments)?.set_include(include, answer);
            done()
        },
    ),
    Command::changing(
        "account-names",
        "form [realm]",
        "full or short: the names in references to accounts; no LastUpdatedTime moves",
        |state, arguments| {
            let is_short = match arguments.required("form")?.as_str() {
                "full" => false,
                "short" => true,
                other => return Err(format!("form is full or short, not '{other}'")),
            };
            company(state, arguments)?.set_short_account_names(is_short);
            done()
        },
    ),
    Command::changing(
        "books",
        "count [seed] [realm]",
        "put a new company with double-entry books, and about count transactions, in the place of a company",
        reports::new_books,
    ),
    Command::changing(
        "plant",
        "kind [entity] [id] [realm]",
        "let records and reports disagree; answers what was planted. The kinds are those that planted lists",
        reports::plant,
    ),
    Command::context(
        "planted",
        "[realm]",
        "the errors that were planted, and the kinds of errors",
        reports::planted,
    ),
    Command::changing(
        "report-lag",
        "lags [realm]",
        "let reports show the books as they are now, whatever changes (lags=true), or the present books again",
        reports::lag,
    ),
    Command::changing(
        "report-cells",
        "cells [realm]",
        "the number of cells after which a report is cut, by default 400000",
        reports::cells,
    ),
    Command::changing(
        "limits",
        "[per_minute] [per_second] [in_flight] [batches_per_minute] [monthly_reads] [realm]",
        "change limits; 0 means no limit",
        limits,
    ),
    Command::changing(
        "new-month",
        "[realm]",
        "start a new month, with no reads counted",
        |state, arguments| {
            company_state(state, arguments)?
                .throttle
                .lock()
                .start_month();
            done()
        },
    ),
    Command::context(
        "refresh-token",
        "[realm]",
        "the refresh token that works now",
        |state, arguments| {
            let token = state
                .oauth
                .lock()
                .refresh_token(&company_state(state, arguments)?.realm_id);
            to_json(&json!({"refresh_token": token}))
        },
    ),
    Command::changing(
        "expire-tokens",
        "",
        "expire every access token now",
        |state, _| {
            state.oauth.lock().expire_access(state.clock.now());
            done()
        },
    ),
    Command::changing(
        "overlapping-refreshes",
        "revoked",
        "whether two refreshes with one token at the same time end the connection (revoked=true)",
        |state, arguments| {
            let revoked = parsed(arguments.json("revoked").unwrap_or_default())?;
            state.refreshes.set_revokes_overlapping(revoked);
            done()
        },
    ),
    Command::changing(
        "disconnect",
        "[realm]",
        "end a company's connection, as its user can",
        |state, arguments| {
            state
                .oauth
                .lock()
                .disconnect(&company_state(state, arguments)?.realm_id);
            done()
        },
    ),
    Command::changing(
        "clock",
        "[advance] [set] [backwards]",
        "move the clock by a duration such as 31d, or to an instant; answers the time that it shows",
        clock::run,
    ),
    Command::changing(
        "webhooks",
        "url [verifier_token] [legacy] [duplicate_every] [shuffle] [wrong_signature_every] [mix_realm] [gather_ms] [retry_s] [withhold]",
        "send webhooks of changes from now on; an empty url stops them",
        |state, arguments| {
            let options: WebhookOptions = parsed(&arguments.all())?;
            state.webhooks.configure(options)?;
            done()
        },
    ),
    Command::context(
        "deliveries",
        "",
        "the webhooks sent so far, with the status of each attempt",
        |state, _| to_json(&state.webhooks.deliveries()),
    ),
];

fn assumptions(state: &State, _: &Arguments) -> CommandResult {
    let assumptions = state.assumptions();
    let chosen = assumptions.chosen().map(|(assumption, value)| {
        json!({"name": assumption.name, "value": value, "choices": assumption.answers, "question": assumption.question})
    });
    to_json(&chosen.collect::<Value>())
}

fn limits(state: &State, arguments: &Arguments) -> CommandResult {
    let mut throttle = company_state(state, arguments)?.throttle.lock();
    let old = throttle.options;
    let count = |name: &str, old: usize| -> Result<usize, String> {
        Ok(arguments.number(name)?.unwrap_or(old))
    };
    let limits = &mut throttle.options;
    limits.per_minute = count("per_minute", old.per_minute)?;
    limits.per_second = count("per_second", old.per_second)?;
    limits.in_flight = count("in_flight", old.in_flight)?;
    limits.batches_per_minute = count("batches_per_minute", old.batches_per_minute)?;
    limits.monthly_reads = arguments
        .number("monthly_reads")?
        .unwrap_or(old.monthly_reads);
    let reads = throttle.reads();
    to_json(&json!({"monthly_reads_used": reads}))
}
