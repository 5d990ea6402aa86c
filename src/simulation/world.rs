//! The world of one seed: the company and its edits, the dice, and the log of everything that
//! happened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use parking_lot::Mutex;
use qbo_sandbox::{CompanySize, OAuthOptions, Sandbox, SandboxOptions};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::{Value, json};

use super::sabotage::Sabotage;
use super::shared::{Document, Tokens};
use super::store::Store;
use super::{jump, set_skew, true_time};
use crate::domain::{Payload, Record, Window, find_entity};

/// The entities that are read: our name and that of QuickBooks.
pub(super) const ENTITIES: [(&str, &str); 3] = [
    ("customers", "Customer"),
    ("items", "Item"),
    ("invoices", "Invoice"),
];

/// The time for which a replaced refresh token still works. Without any, a lost answer of a refresh
/// would end the connection, which no client can prevent.
const GRACE: Duration = Duration::from_secs(4 * 3600);

/// Everything that the processes of one seed share.
pub(super) struct World {
    pub sabotage: Option<Sabotage>,
    pub sandbox: Sandbox,
    pub store: Store,
    pub tokens: Tokens,
    pub limits: Document,
    pub includes: Document,
    pub uncaptured: Document,
    dice: Mutex<Pcg64Mcg>,
    /// Syncs commit their windows in parts, too, as backfills do.
    pub divides_syncs: bool,
    /// Invoices that all changed in one second, the first of a window.
    crowd: Vec<String>,
    /// Findings of the looks after commits.
    found: Mutex<Vec<String>>,
    /// Neither edits nor failures any more.
    is_calm: AtomicBool,
    fault_rate: f64,
    edit_rate: f64,
    /// Every id that a record has ever had.
    ever: Mutex<BTreeMap<&'static str, Vec<String>>>,
    log: Mutex<Vec<(DateTime<Utc>, String)>>,
    pub edits: AtomicU64,
    pub failures: AtomicU64,
    pub kills: AtomicU64,
    pub jumps: AtomicU64,
    /// Windows of which only the end was read, because parts of them were committed.
    pub continued: AtomicU64,
}

/// Returns the instant at which a seed begins: often the night before a change of clocks.
pub(super) fn start_of(seed: u64) -> DateTime<Utc> {
    let mut dice = Pcg64Mcg::seed_from_u64(seed ^ 0x71_3E);
    let nights = [
        (2026, 3, 8, 9),
        (2026, 11, 1, 8),
        (2026, 2, 28, 23),
        (2026, 12, 31, 23),
    ];
    let (year, month, day, hour) = nights[dice.random_range(0..nights.len())];
    let night = Utc.with_ymd_and_hms(year, month, day, hour, 40, 0).unwrap();
    night - TimeDelta::minutes(dice.random_range(0..120))
}

impl World {
    pub(super) fn new(seed: u64, sabotage: Option<Sabotage>) -> Self {
        let mut dice = Pcg64Mcg::seed_from_u64(seed);
        let size = CompanySize {
            customers: dice.random_range(3..20),
            items: dice.random_range(3..20),
            invoices: dice.random_range(10..80),
            others: Some(0),
        };
        let options = SandboxOptions {
            seed,
            size,
            visibility_delay: Duration::from_secs([0, 5, 20][dice.random_range(0..3)]),
            oauth: OAuthOptions {
                grace: GRACE,
                ..OAuthOptions::default()
            },
            ..SandboxOptions::default()
        };
        let sandbox = Sandbox::without_server(options, true_time).unwrap();
        let mut world = Self {
            divides_syncs: dice.random_bool(0.3),
            crowd: Vec::new(),
            found: Mutex::default(),
            sabotage,
            store: Store::default(),
            tokens: Tokens::default(),
            limits: Document::default(),
            includes: Document::default(),
            uncaptured: Document::default(),
            is_calm: AtomicBool::new(false),
            fault_rate: [0.0, 0.01, 0.04, 0.1][dice.random_range(0..4)],
            edit_rate: [0.05, 0.3, 0.8][dice.random_range(0..3)],
            ever: Mutex::default(),
            log: Mutex::default(),
            edits: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            kills: AtomicU64::new(0),
            jumps: AtomicU64::new(0),
            continued: AtomicU64::new(0),
            dice: Mutex::new(dice),
            sandbox,
        };
        world.remember_ids();
        world.gather_crowd();
        world.arm_faults();
        world
    }

    /// Returns a number below `end`.
    pub(super) fn below(&self, end: u64) -> u64 {
        self.dice.lock().random_range(0..end)
    }

    pub(super) fn pick<T: Copy>(&self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    pub(super) fn chance(&self, probability: f64) -> bool {
        self.dice.lock().random_bool(probability)
    }

    /// Returns true if an operation fails here. `weight` is how often this kind of failure happens.
    pub(super) fn fails(&self, what: &str, weight: f64) -> bool {
        let fails = !self.is_calm.load(Ordering::Relaxed) && self.chance(self.fault_rate * weight);
        if fails {
            self.failures.fetch_add(1, Ordering::Relaxed);
            self.note(format!("fails: {what}"));
        }
        fails
    }

    /// Adds a line to the log, which two runs of a seed share to the last character.
    pub(super) fn note(&self, line: impl std::fmt::Display) {
        self.log.lock().push((true_time(), line.to_string()));
    }

    /// Returns the log so far.
    pub(super) fn log(&self) -> Vec<String> {
        let log = self.log.lock();
        let line = |(at, line): &(DateTime<Utc>, String)| {
            format!("{} {line}", at.format("%m-%d %H:%M:%S%.3f"))
        };
        log.iter().map(line).collect()
    }

    /// Ends edits and failures.
    pub(super) fn calm(&self) {
        self.is_calm.store(true, Ordering::Relaxed);
        self.sandbox.control("clear-faults", "{}").unwrap();
    }

    fn arm_faults(&self) {
        if self.fault_rate == 0.0 {
            return;
        }
        for fault in [
            json!({"fault": "throttle", "on": "query", "format": "json", "retry_after": 3}),
            json!({"fault": "unavailable"}),
            json!({"fault": "bad-gateway", "on": "query"}),
            json!({"fault": "fault-in-success", "on": "query"}),
            json!({"fault": "garbage", "on": "query"}),
            json!({"fault": "unauthorized", "on": "query"}),
            json!({"fault": "slow", "ms": 9000}),
            json!({"fault": "lost-answer"}),
            json!({"fault": "truncate"}),
        ] {
            let mut fault = fault;
            fault["probability"] = json!(self.fault_rate * 0.3);
            fault["seed"] = json!(self.below(1 << 30));
            fault["times"] = json!(0);
            self.sandbox.control("fault", &fault.to_string()).unwrap();
        }
    }

    /// Lets the world move on: people edit the books, and clocks jump.
    pub(super) fn moves(&self) {
        if self.is_calm.load(Ordering::Relaxed) {
            return;
        }
        while self.chance(self.edit_rate * 0.7) {
            self.edit();
        }
        if self.chance(0.002) {
            self.pass(self.pick(&[30, 600, 3000]));
        }
        if self.chance(0.003) {
            let skew = self.pick(&[-900, -61, -1, 0, 2, 90, 1200]);
            self.note(format!("this machine's clock is {skew} s off"));
            set_skew(TimeDelta::seconds(skew));
        }
    }

    /// Lets seconds pass at once. A connection whose new token nobody has stored yet lives for a few
    /// hours only, so that less time passes then.
    pub(super) fn pass(&self, seconds: i64) {
        let is_settled = self.tokens.is_settled();
        let seconds = if is_settled {
            seconds
        } else {
            seconds.min(1200)
        };
        self.jumps.fetch_add(1, Ordering::Relaxed);
        self.note(format!("{seconds} s pass"));
        jump(TimeDelta::seconds(seconds));
    }

    /// Changes a record as people do. A change of a record that is gone fails, which is no edit.
    fn edit(&self) {
        let second = true_time().timestamp();
        let position = self.pick(&[0, 1, 2, 2]);
        let (name, entity) = ENTITIES[position];
        let (mut id, other) = (self.any_id(name), self.any_id(name));
        if entity == "Invoice" && !self.crowd.is_empty() && self.chance(0.4) {
            id.clone_from(&self.crowd[self.below(self.crowd.len() as u64) as usize]);
        }
        let mut company = self.sandbox.company();
        let kind = self.below(10);
        let done = match kind {
            0 => company.insert(entity, second).map(|new| {
                self.ever.lock().entry(name).or_default().push(new);
            }),
            1 if entity == "Invoice" => company.delete(entity, &id, second),
            2 if entity == "Invoice" => company.void(entity, &id, second),
            3 if entity != "Invoice" => company.deactivate(entity, &id, second),
            4 if entity != "Invoice" => company.merge(entity, &id, &other, second),
            5 => company.touch(entity, &id, second),
            _ => company.edit(entity, &id, second),
        };
        if done.is_ok() {
            self.edits.fetch_add(1, Ordering::Relaxed);
            self.note(format!("edit {kind} of {entity} {id}"));
        }
    }

    fn any_id(&self, name: &'static str) -> String {
        let ever = self.ever.lock();
        let ids = &ever[name];
        ids[self.below(ids.len() as u64) as usize].clone()
    }

    fn remember_ids(&self) {
        let company = self.sandbox.company();
        let mut ever = self.ever.lock();
        for (name, entity) in ENTITIES {
            let ids = company.truth(entity, i64::MIN, i64::MAX);
            let ids = ids.into_iter().map(|(id, _)| id).collect();
            ever.insert(name, ids);
        }
    }

    /// Lets more invoices change in one second than a small page holds, in many companies: in the first
    /// second of a window, or a little later.
    fn gather_crowd(&mut self) {
        if self.chance(0.5) {
            return;
        }
        let window = Utc.with_ymd_and_hms(2024, 1, 1, 0, 0, 0).unwrap();
        let second = window.timestamp() + self.pick(&[0, 0, 1, 16_942]);
        let all = self.ever.lock()["invoices"].clone();
        let size = self.pick(&[3, 8, 30]).min(all.len());
        self.crowd = all[..size].to_vec();
        let mut company = self.sandbox.company();
        for id in &self.crowd {
            company.touch("Invoice", id, second).unwrap();
        }
        drop(company);
        // What was changed so long ago is visible to everybody.
        jump(TimeDelta::minutes(1));
    }

    /// Looks after a commit whether the table holds what the ledger says of a window: each record of that
    /// time, in the version of this instant or a newer one. One that was edited is of a later time.
    pub(super) fn look(&self, name: &'static str, window: Window) {
        let Some((_, entity)) = ENTITIES.iter().find(|(of, _)| *of == name) else {
            return;
        };
        let complete = self.store.complete_parts(name);
        let identity = find_entity(name).unwrap().identity;
        let (start, end) = (window.start.timestamp(), window.end.timestamp());
        for (id, text) in self.sandbox.company().truth(entity, start, end) {
            let book = Record::read(identity, Payload::from_valid_json(text.into())).unwrap();
            let at = book.updated_at;
            let is_due = complete
                .iter()
                .any(|part| part.start <= at && at < part.end);
            let row = self.store.row(name, &id);
            let is_there =
                row.is_some_and(|row| (row.updated_at, row.sync_token) >= (at, book.sync_token));
            if is_due && !is_there && !self.store.is_set_aside(name, &id, at) {
                let what = format!("{entity} {id} of {at} is lacking after a commit of {window}");
                self.note(&what);
                self.found.lock().push(what);
            }
        }
    }

    /// Returns what is wrong with the time that the ledger calls complete; with `is_end`, with any
    /// time, and with rejects too.
    pub(super) fn problems(&self, is_end: bool) -> Vec<String> {
        let mut problems = std::mem::take(&mut *self.found.lock());
        let company = self.sandbox.company();
        for (name, entity) in ENTITIES {
            let rows = self.store.rows(name);
            let complete = self.store.complete_parts(name);
            let truth = company.truth(entity, i64::MIN, i64::MAX);
            for (id, text) in truth {
                let book: Value = serde_json::from_str(&text).unwrap();
                let changed = book["MetaData"]["LastUpdatedTime"].as_str().unwrap();
                let at: DateTime<Utc> = changed.parse().unwrap();
                let is_due = is_end
                    || complete
                        .iter()
                        .any(|part| part.start <= at && at < part.end);
                let is_equal = rows.get(&id) == Some(&book);
                let is_set_aside = !is_end && self.store.is_set_aside(name, &id, at);
                if is_due && !is_equal && !is_set_aside {
                    let what = match rows.get(&id) {
                        Some(row) => format!("is stale: {}", row["MetaData"]["LastUpdatedTime"]),
                        None => "is missing".to_owned(),
                    };
                    problems.push(format!("{entity} {id} of {changed} {what}"));
                }
            }
            let ever = self.ever.lock();
            let invented = rows.keys().filter(|id| !ever[name].contains(*id));
            problems.extend(invented.map(|id| format!("{entity} {id} was invented")));
        }
        problems
    }
}
