//! Every command.

use std::sync::RwLockWriteGuard;
use std::time::{Duration, Instant};

use chrono::Utc;
use rand::RngExt as _;
use serde_json::{Value, json};

use super::{Arguments, Command};
use crate::company::{Blemish, ChangeError, Company};
use crate::faults::FaultRule;
use crate::server::{Realm, State};
use crate::webhooks::WebhookOptions;
use crate::{entities, lock};

type Outcome = Result<String, String>;

const fn reads(
    name: &'static str,
    arguments: &'static str,
    what: &'static str,
    run: fn(&State, &Arguments) -> Outcome,
) -> Command {
    Command {
        name,
        arguments,
        what,
        only_reads: true,
        run,
    }
}

const fn changes(
    name: &'static str,
    arguments: &'static str,
    what: &'static str,
    run: fn(&State, &Arguments) -> Outcome,
) -> Command {
    Command {
        name,
        arguments,
        what,
        only_reads: false,
        run,
    }
}

/// Each inserted record is kept as text.
const MAX_INSERTED: u32 = 100_000;

pub(super) const COMMANDS: &[Command] = &[
    reads("stats", "", "what the server has seen", |state, _| {
        to_json(&state.stats())
    }),
    changes("reset-stats", "", "begin to count anew", |state, _| {
        state.reset_stats();
        done()
    }),
    reads(
        "entities",
        "[realm]",
        "how many records of each entity there are",
        entity_counts,
    ),
    reads(
        "truth",
        "entity [start] [end] [realm]",
        "ids and payloads that a correct extract of a range must hold",
        truth,
    ),
    changes(
        "put",
        "entity record [realm]",
        "add a record, or replace the one of its id",
        |state, given| {
            let record = given.json("record").unwrap_or_default();
            change(state, given, |books, entity, _| {
                books.put(entity, record).map(|()| Value::Null)
            })
        },
    ),
    changes(
        "insert",
        "entity [count] [at] [realm]",
        "add invented records; answers their ids",
        |state, given| {
            let count: u32 = given.number("count")?.unwrap_or(1);
            if count > MAX_INSERTED {
                return Err(format!("count is at most {MAX_INSERTED}"));
            }
            change(state, given, |books, entity, at| {
                (0..count)
                    .map(|_| books.insert(entity, at).map(Value::from))
                    .collect()
            })
        },
    ),
    changes(
        "edit",
        "entity id [at] [realm]",
        "save a record again",
        |state, given| {
            change_one(state, given, |books, entity, id, at| {
                books.edit(entity, id, at)
            })
        },
    ),
    changes(
        "touch",
        "entity id [at] [realm]",
        "move a record's LastUpdatedTime and nothing else",
        |state, given| {
            change_one(state, given, |books, entity, id, at| {
                books.touch(entity, id, at)
            })
        },
    ),
    changes(
        "delete",
        "entity id [at] [realm]",
        "remove a record for good",
        |state, given| {
            change_one(state, given, |books, entity, id, at| {
                books.delete(entity, id, at)
            })
        },
    ),
    changes(
        "void",
        "entity id [at] [realm]",
        "void a transaction",
        |state, given| {
            change_one(state, given, |books, entity, id, at| {
                books.void(entity, id, at)
            })
        },
    ),
    changes(
        "deactivate",
        "entity id [at] [realm]",
        "make a record of a list inactive",
        |state, given| {
            change_one(state, given, |books, entity, id, at| {
                books.deactivate(entity, id, at)
            })
        },
    ),
    changes(
        "merge",
        "entity loser winner [at] [realm]",
        "merge one record of a list into another",
        |state, given| {
            let (loser, winner) = (given.required("loser")?, given.required("winner")?);
            change(state, given, |books, entity, at| {
                books
                    .merge(entity, &loser, &winner, at)
                    .map(|()| Value::Null)
            })
        },
    ),
    changes(
        "corrupt",
        "entity id blemish [realm]",
        "make something of a record wrong: processing (pages fail with 4002), application (10000), healed, nul, surrogate, huge, time, unknown, bare, sparse",
        |state, given| {
            let blemish: Blemish = parsed(given.json("blemish").unwrap_or_default())?;
            change_one(state, given, |books, entity, id, _| {
                books.corrupt(entity, id, blemish)
            })
        },
    ),
    changes(
        "fault",
        "fault ...",
        "arm a fault; GET /sandbox lists faults",
        |state, given| {
            lock(&state.faults)
                .arm(FaultRule::parse(&given.all()).map_err(|error| error.to_string())?);
            done()
        },
    ),
    reads(
        "faults",
        "",
        "the armed faults, and how often each has struck",
        |state, _| to_json(&lock(&state.faults).list()),
    ),
    changes("clear-faults", "", "disarm all faults", |state, _| {
        lock(&state.faults).clear();
        done()
    }),
    reads(
        "assumptions",
        "",
        "what is assumed where facts are uncertain",
        assumptions,
    ),
    changes(
        "assume",
        "name value",
        "assume something else",
        |state, given| {
            let (name, value) = (given.required("name")?, given.required("value")?);
            state
                .assumptions
                .write()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .set(&name, &value)?;
            done()
        },
    ),
    changes(
        "visibility-delay",
        "seconds [realm]",
        "how long changes stay hidden from queries, at most",
        |state, given| {
            let seconds: f64 = given.number("seconds")?.unwrap_or(0.0);
            let delay = Duration::try_from_secs_f64(seconds)
                .map_err(|_| format!("{seconds} is not a number of seconds"))?;
            books(state, given)?.visibility_delay = delay;
            done()
        },
    ),
    changes(
        "limits",
        "[per_minute] [per_second] [in_flight] [batches_per_minute] [monthly_reads] [realm]",
        "change limits; 0 means none",
        limits,
    ),
    changes(
        "new-month",
        "[realm]",
        "begin to count the month's reads anew",
        |state, given| {
            lock(&realm(state, given)?.throttle).renew();
            done()
        },
    ),
    reads(
        "refresh-token",
        "[realm]",
        "the refresh token that works now",
        |state, given| {
            let token = lock(&state.oauth).refresh_token(&realm(state, given)?.id);
            to_json(&json!({"refresh_token": token}))
        },
    ),
    changes(
        "expire-tokens",
        "",
        "let every access token expire now",
        |state, _| {
            lock(&state.oauth).expire_access(Instant::now());
            done()
        },
    ),
    changes(
        "disconnect",
        "[realm]",
        "end a company's connection, as its user can",
        |state, given| {
            lock(&state.oauth).disconnect(&realm(state, given)?.id);
            done()
        },
    ),
    changes(
        "webhooks",
        "url [verifier_token] [legacy] [duplicate_every] [shuffle] [wrong_signature_every] [mix_realm] [gather_ms] [retry_s]",
        "send webhooks of changes from now on; an empty url ends it",
        |state, given| {
            let options: WebhookOptions = parsed(&given.all())?;
            state.webhooks.configure(options)?;
            done()
        },
    ),
    reads(
        "deliveries",
        "",
        "webhooks sent so far, with the answers to them",
        |state, _| to_json(&state.webhooks.deliveries()),
    ),
];

fn done() -> Outcome {
    Ok("{}".to_owned())
}

fn to_json(value: &impl serde::Serialize) -> Outcome {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

fn parsed<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn realm<'s>(state: &'s State, given: &Arguments) -> Result<&'s Realm, String> {
    let id = given.text("realm");
    state
        .realm(id.as_deref())
        .ok_or_else(|| format!("there is no company {}", id.unwrap_or_default()))
}

fn books<'s>(state: &'s State, given: &Arguments) -> Result<RwLockWriteGuard<'s, Company>, String> {
    Ok(realm(state, given)?.write())
}

/// A change of one entity; answers what it returns.
fn change(
    state: &State,
    given: &Arguments,
    change: impl FnOnce(&mut Company, &str, i64) -> Result<Value, ChangeError>,
) -> Outcome {
    let (entity, at) = (given.required("entity")?, given.at()?);
    let mut books = books(state, given)?;
    let outcome = change(&mut books, &entity, at).map_err(|error| error.to_string())?;
    to_json(&if outcome.is_null() {
        json!({})
    } else {
        json!({"ids": outcome})
    })
}

/// A change of one record, named by its id or as the `oldest`, the `newest` or a `random` one;
/// answers its id.
fn change_one(
    state: &State,
    given: &Arguments,
    change: impl FnOnce(&mut Company, &str, &str, i64) -> Result<(), ChangeError>,
) -> Outcome {
    let (entity, id, at) = (
        given.required("entity")?,
        given.required("id")?,
        given.at()?,
    );
    let mut books = books(state, given)?;
    let id = pick(&books, &entity, &id).unwrap_or(id);
    change(&mut books, &entity, &id, at).map_err(|error| error.to_string())?;
    to_json(&json!({"id": id}))
}

fn pick(books: &Company, entity: &str, which: &str) -> Option<String> {
    let collection = books.collection(entities::find(entity)?.name)?;
    let row = match which {
        "oldest" => collection.rows().next(),
        "newest" => collection.rows().last(),
        "random" if collection.len() > 0 => collection
            .rows()
            .nth(rand::rng().random_range(0..collection.len())),
        _ => None,
    };
    row.map(|row| row.id().into_owned())
}

fn entity_counts(state: &State, given: &Arguments) -> Outcome {
    let counts = realm(state, given)?.read().counts();
    let counts = entities::all().map(|entity| {
        let count = counts
            .iter()
            .find(|(name, _)| *name == entity.name)
            .map_or(0, |(_, count)| *count);
        json!({"entity": entity.name, "records": count})
    });
    to_json(&counts.collect::<Value>())
}

/// Payloads are the text that queries answer, number for number.
fn truth(state: &State, given: &Arguments) -> Outcome {
    let name = given.required("entity")?;
    let entity = entities::find(&name).ok_or_else(|| ChangeError::Entity(name).to_string())?;
    let (from, until) = (
        given.instant("start")?.unwrap_or(i64::MIN),
        given.instant("end")?.unwrap_or(i64::MAX),
    );
    let truth = realm(state, given)?.read().truth(entity.name, from, until);
    let mut out = format!(
        r#"{{"entity":"{}","count":{},"records":["#,
        entity.name,
        truth.len()
    );
    for (position, (id, payload)) in truth.iter().enumerate() {
        out.push_str(if position > 0 { "," } else { "" });
        out.push_str(&format!(
            r#"{{"id":{},"payload":{payload}}}"#,
            Value::from(id.as_str())
        ));
    }
    out.push_str(&format!(r#"],"at":"{}"}}"#, Utc::now().to_rfc3339()));
    Ok(out)
}

fn assumptions(state: &State, _: &Arguments) -> Outcome {
    let assumptions = state.assumptions();
    let chosen = assumptions.chosen().map(|(assumption, value)| {
        let choices = [assumption.harder, assumption.milder];
        json!({"name": assumption.name, "value": value, "choices": choices, "question": assumption.question})
    });
    to_json(&chosen.collect::<Value>())
}

fn limits(state: &State, given: &Arguments) -> Outcome {
    let mut throttle = lock(&realm(state, given)?.throttle);
    let old = throttle.options;
    let count = |name: &str, old: usize| -> Result<usize, String> {
        Ok(given.number(name)?.unwrap_or(old))
    };
    let limits = &mut throttle.options;
    limits.per_minute = count("per_minute", old.per_minute)?;
    limits.per_second = count("per_second", old.per_second)?;
    limits.in_flight = count("in_flight", old.in_flight)?;
    limits.batches_per_minute = count("batches_per_minute", old.batches_per_minute)?;
    limits.monthly_reads = given.number("monthly_reads")?.unwrap_or(old.monthly_reads);
    let reads = throttle.reads();
    to_json(&json!({"monthly_reads_used": reads}))
}
