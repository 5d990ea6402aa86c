//! The state of a call while it runs, and the lines that show it. No clock and no terminal: both are
//! given.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::words::{
    MAX_WIDTH, cut, elapsed, number, number_in, requests, requests_in, rows, rows_in, width,
    windows, windows_in,
};
use crate::domain::{WindowReport, WindowStatus};
use crate::language::{Language, current, say};
use crate::port::RunName;

/// The stretch of time that the rate is about.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// Before that, a run says nothing about the time left.
const SETTLING: Duration = Duration::from_secs(2);
/// A run of a sync that takes as long is told when it is done.
const LONG: Duration = Duration::from_secs(5);
const MIN_BAR: usize = 4;
const MAX_BAR: usize = 24;
/// The most entities that are shown at a time; a sync reads several companies at once.
const MAX_SHOWN: usize = 3;
/// The longest name of an entity that is not cut.
const MAX_NAME: usize = 22;

/// The events of a call so far.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Companies and entities of the call.
    planned: BTreeSet<(String, String)>,
    finished: BTreeSet<(String, String)>,
    windows_planned: usize,
    running: Vec<Run>,
    requests: u64,
    /// Maximum number of requests of the call; 0: unlimited.
    cap: u64,
    /// Rows that have arrived lately.
    arrived: VecDeque<(Instant, u64)>,
    began: Option<Instant>,
    paused_until: Option<Instant>,
    rows: u64,
    windows_done: usize,
}

/// An entity that is being read.
#[derive(Debug)]
struct Run {
    realm_id: String,
    entity: String,
    windows: usize,
    ended: usize,
    failed: usize,
    /// Rows that have arrived.
    rows: u64,
    /// Rows of the windows that are done.
    done_rows: u64,
    /// Requests of the call before it. A call that repeats has many.
    requests_before: u64,
    began: Instant,
}

impl Board {
    pub(super) fn new(cap: u64) -> Self {
        Self {
            cap,
            ..Self::default()
        }
    }

    /// Returns the company and the first entity that is being read, for a line of the log.
    pub(super) fn place(&self) -> Option<(&str, &str)> {
        let run = self.running.first()?;
        Some((&run.realm_id, &run.entity))
    }

    pub(super) fn call_started(&mut self, realm_id: &str, runs: &[(&str, usize)], now: Instant) {
        self.began.get_or_insert(now);
        for (entity, windows) in runs {
            let key = (realm_id.to_owned(), (*entity).to_owned());
            self.finished.remove(&key);
            self.planned.insert(key);
            self.windows_planned += windows;
        }
    }

    pub(super) fn run_started(&mut self, name: RunName<'_>, windows: usize, now: Instant) {
        self.began.get_or_insert(now);
        self.running.push(Run {
            realm_id: name.realm_id.to_owned(),
            entity: name.entity.to_owned(),
            windows,
            ended: 0,
            failed: 0,
            rows: 0,
            done_rows: 0,
            requests_before: self.requests,
            began: now,
        });
    }

    /// Forgets what is being read: the call has ended, however its runs did.
    pub(super) fn call_ended(&mut self) {
        self.running.clear();
        self.paused_until = None;
    }

    fn run(&mut self, name: RunName<'_>) -> Option<&mut Run> {
        self.running.iter_mut().find(|run| run.is(name))
    }

    pub(super) fn page_read(&mut self, name: RunName<'_>, rows: usize, now: Instant) {
        if let Some(run) = self.run(name) {
            run.rows += rows as u64;
        }
        self.rows += rows as u64;
        self.arrived.push_back((now, rows as u64));
        self.forget_old(now);
    }

    pub(super) fn window_finished(&mut self, name: RunName<'_>, window: &WindowReport) {
        self.windows_done += 1;
        if let Some(run) = self.run(name) {
            run.ended += 1;
            run.done_rows += window.rows;
            run.failed += usize::from(window.status == WindowStatus::Failed);
        }
    }

    /// Ends a run; returns the line that stays, if it has anything to say.
    pub(super) fn run_finished(&mut self, name: RunName<'_>, now: Instant) -> Option<String> {
        let RunName { realm_id, entity } = name;
        let key = (realm_id.to_owned(), entity.to_owned());
        // A comparison of books reads some records that it did not plan to read.
        let is_planned = self.windows_planned > 0 && self.planned.contains(&key);
        self.finished.insert(key);
        let position = self.running.iter().position(|run| run.is(name))?;
        let run = self.running.remove(position);
        // A sync looks at many entities, again and again; its report names what has changed.
        let is_long = now.duration_since(run.began) >= LONG;
        let is_told = is_planned || is_long && run.done_rows > 0 || run.failed > 0;
        (is_told && run.windows > 0).then(|| self.done_line(&run, now))
    }

    fn done_line(&self, run: &Run, now: Instant) -> String {
        let name = self.name_width();
        let rows = rows(run.done_rows.max(run.rows_if_unknown()));
        let time = elapsed((now - run.began).as_millis().try_into().unwrap_or(u64::MAX));
        let entity = cut(&shown(&run.entity), name);
        match run.failed {
            0 => {
                let done = say!("done");
                format!("  {entity:<name$}  {done:<6}  {rows:>16}  {time:>10}")
            }
            failed => {
                let windows = windows(run.windows as u64);
                let part = say!(
                    "{failed} of {windows}",
                    failed = number(failed as u64),
                    windows
                );
                let failed = say!("failed");
                format!("  {entity:<name$}  {failed:<6}  {rows:>16}  {part}")
            }
        }
    }

    pub(super) fn request_ended(&mut self) {
        self.requests += 1;
    }

    pub(super) fn paused(&mut self, wait: Duration, now: Instant) {
        let until = now + wait;
        self.paused_until = Some(self.paused_until.map_or(until, |known| known.max(until)));
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((at, _)) = self.arrived.front()
            && now.duration_since(*at) > RATE_WINDOW
        {
            self.arrived.pop_front();
        }
    }

    /// Returns the rows a second of the last seconds.
    fn rate(&self, now: Instant) -> u64 {
        let is_late = |at: Instant| now.duration_since(at) <= RATE_WINDOW;
        let late = self.arrived.iter().filter(|(at, _)| is_late(*at));
        let rows: u64 = late.map(|(_, rows)| rows).sum();
        let since = self
            .began
            .map_or(RATE_WINDOW, |began| now.duration_since(began));
        // What came in the first moment says nothing about a second.
        let span = since.clamp(Duration::from_secs(1), RATE_WINDOW);
        (rows as f64 / span.as_secs_f64()).round() as u64
    }

    /// Returns the seconds until requests are sent again.
    fn pause(&self, now: Instant) -> Option<u64> {
        let left = self.paused_until?.checked_duration_since(now)?;
        (!left.is_zero()).then(|| left.as_secs_f64().ceil() as u64)
    }

    fn name_width(&self) -> usize {
        let planned = self.planned.iter();
        let planned = planned.map(|(_, entity)| width(&shown(entity)));
        let running = self.running.iter().map(|run| width(&shown(&run.entity)));
        planned
            .chain(running)
            .max()
            .unwrap_or(10)
            .clamp(10, MAX_NAME)
    }

    /// Returns the lines for a terminal of this width; none if nothing is being read.
    pub(super) fn lines(&self, now: Instant, columns: usize) -> Vec<String> {
        let columns = columns.clamp(20, MAX_WIDTH);
        if self.running.is_empty() {
            // The first requests of a sync come before its first run.
            let pause = self.pause(now).map(|seconds| paused(current(), seconds));
            return pause
                .iter()
                .map(|text| cut(&format!("  {text}"), columns))
                .collect();
        }
        let shown = self.running.iter().take(MAX_SHOWN);
        let mut lines: Vec<String> = shown.map(|run| self.run_line(run, now, columns)).collect();
        lines.push(self.overall(now, columns));
        lines
    }

    fn run_line(&self, run: &Run, now: Instant, columns: usize) -> String {
        let name = self.name_width();
        let text = match self.pause(now) {
            Some(seconds) => {
                format!("  {}", paused(current(), seconds))
            }
            None => {
                let rows = rows(run.rows);
                let percent = (run.share() * 100.0).floor();
                let left = run.left(now).unwrap_or_default();
                format!("  {rows:>14}  {percent:>3} %{left:>21}")
            }
        };
        // The text is more than the end of a long name.
        let name = name.min(columns.saturating_sub(width(&text) + 4)).max(4);
        let entity = cut(&shown(&run.entity), name);
        let taken = 2 + name + 2 + width(&text);
        let room = columns.saturating_sub(taken).min(MAX_BAR);
        let bar = match room {
            MIN_BAR.. => bar(run.share(), room),
            _ => String::new(),
        };
        cut(
            format!("  {entity:<name$}  {bar}{text}").trim_end(),
            columns,
        )
    }

    fn overall(&self, now: Instant, columns: usize) -> String {
        let mut parts = Vec::new();
        if self.planned.len() > 1 {
            let (done, all) = (self.finished.len(), self.planned.len());
            let present = (done + 1).min(all);
            parts.push(say!("{present} of {all} entities", present, all));
        }
        if self.running.len() > MAX_SHOWN {
            parts.push(say!("{count} at a time", count = self.running.len()));
        }
        match (self.requests, self.cap) {
            // A load sends none.
            (0, _) => {}
            (sent, 0) => parts.push(requests(sent)),
            (sent, cap) => parts.push(say!(
                "{sent} of at most {cap} requests",
                sent = number(sent),
                cap = number(cap)
            )),
        }
        parts.push(say!("{rate} rows/s", rate = number(self.rate(now))));
        parts.push(say!("Ctrl-C is safe"));
        while parts.len() > 1 && width(&parts.join(" · ")) > columns {
            parts.pop();
        }
        cut(&parts.join(" · "), columns)
    }

    /// Returns the progress in one sentence, for a log.
    pub(super) fn sentence(&self, now: Instant) -> Option<Sentence> {
        let run = self.running.first()?;
        let (done, all) = (self.finished.len() as u64, self.planned.len() as u64);
        let rate = self.rate(now);
        let (ended, windows) = (run.ended as u64, run.windows as u64);
        let requests = self.requests - run.requests_before;
        Some(Sentence {
            text: match self.pause(now) {
                Some(seconds) => paused(Language::En, seconds),
                None => sentence(ended, windows, run.rows, requests, rate),
            },
            entities_done: done,
            entities: all.max(1),
            windows_done: ended,
            windows,
            rows: run.rows,
            requests,
        })
    }
}

/// A sentence about the progress, and its numbers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    pub text: String,
    pub entities_done: u64,
    pub entities: u64,
    pub windows_done: u64,
    pub windows: u64,
    pub rows: u64,
    pub requests: u64,
}

impl Run {
    fn is(&self, name: RunName<'_>) -> bool {
        self.realm_id == name.realm_id && self.entity == name.entity
    }

    /// Returns the share of the windows that have ended.
    fn share(&self) -> f64 {
        match self.windows {
            0 => 0.0,
            windows => (self.ended as f64 / windows as f64).min(1.0),
        }
    }

    /// Says how long the rest takes, once enough is done to know.
    fn left(&self, now: Instant) -> Option<String> {
        let (share, passed) = (self.share(), now.duration_since(self.began));
        if passed < SETTLING || !(0.05..1.0).contains(&share) {
            return None;
        }
        let left = passed.as_secs_f64() * (1.0 - share) / share;
        // Whole seconds: tenths would be a promise.
        let text = match left.ceil() as u64 {
            seconds @ ..120 => format!("{seconds} s"),
            seconds => elapsed(seconds * 1000),
        };
        let left = say!("about {text} left", text);
        Some(format!("  {left}"))
    }

    /// A comparison counts its records as they arrive, and its windows have no rows.
    fn rows_if_unknown(&self) -> u64 {
        match self.done_rows {
            0 if self.failed == 0 => self.rows,
            _ => 0,
        }
    }
}

fn paused(language: Language, seconds: u64) -> String {
    say!(in language; "waiting {seconds} s: QuickBooks asked to slow down", seconds)
}

/// Returns how something that is read is called: entities have names, the steps of a comparison of books are
/// words.
fn shown(entity: &str) -> String {
    match entity {
        "records" => say!("records"),
        "reports" => say!("reports"),
        name => name.to_owned(),
    }
}

/// Makes a line of the log. Logs are English.
fn sentence(ended: u64, windows: u64, rows: u64, requests: u64, rate: u64) -> String {
    let language = Language::En;
    let windows = windows_in(language, windows);
    let rows = rows_in(language, rows);
    let requests = match requests {
        0 => String::new(),
        sent => format!(", {}", requests_in(language, sent)),
    };
    let (ended, rate) = (number_in(language, ended), number_in(language, rate));
    format!("{ended} of {windows} so far, {rows}{requests}, {rate} rows/s")
}

fn bar(share: f64, columns: usize) -> String {
    let filled = (share * columns as f64).floor() as usize;
    "█".repeat(filled) + &"░".repeat(columns - filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Window;

    fn window(rows: u64) -> WindowReport {
        let window = Window::parse("2024-01-01", "2024-01-02").unwrap();
        WindowReport {
            rows,
            ..WindowReport::empty(window, WindowStatus::Done)
        }
    }

    /// A run of a company.
    fn of<'n>(realm_id: &'n str, entity: &'n str) -> RunName<'n> {
        RunName { realm_id, entity }
    }

    #[tokio::test(start_paused = true)]
    async fn entities_are_counted_by_company_when_several_are_read_side_by_side() {
        let now = Instant::now();
        let mut board = Board::new(0);
        for realm_id in ["1", "2"] {
            board.call_started(realm_id, &[("customers", 0), ("items", 0)], now);
        }
        for realm_id in ["1", "2"] {
            for entity in ["customers", "items"] {
                board.run_started(of(realm_id, entity), 1, now);
            }
        }
        board.page_read(of("2", "items"), 7, now);
        assert_eq!(
            board.running.iter().map(|run| run.rows).collect::<Vec<_>>(),
            [0, 0, 0, 7]
        );
        // The pipeline ends a run, and the sync its entity.
        for _ in 0..2 {
            board.run_finished(of("1", "customers"), now);
        }
        let line = board.lines(now, 80).pop().unwrap();
        assert!(line.starts_with("2 of 4 entities"), "{line}");
        board.run_finished(of("2", "customers"), now);
        board.run_finished(of("1", "items"), now);
        let line = board.lines(now, 80).pop().unwrap();
        assert!(line.starts_with("4 of 4 entities"), "{line}");
        // The next sync of one of them counts anew.
        board.call_started("1", &[("customers", 0), ("items", 0)], now);
        let line = board.lines(now, 80).pop().unwrap();
        assert!(line.starts_with("2 of 4 entities"), "{line}");
    }

    fn board(now: Instant) -> Board {
        let mut board = Board::new(0);
        board.call_started(
            "9",
            &[("customers", 2), ("recurring_transactions", 24)],
            now,
        );
        board
    }

    #[tokio::test(start_paused = true)]
    async fn the_lines_fit_and_say_how_far_it_is() {
        let begin = Instant::now();
        let mut board = board(begin);
        assert!(board.lines(begin, 80).is_empty());
        board.run_started(of("9", "customers"), 2, begin);
        board.page_read(of("9", "customers"), 500, begin);
        board.window_finished(of("9", "customers"), &window(500));
        let later = begin + Duration::from_secs(3);
        assert_eq!(
            board.run_finished(of("9", "customers"), later).unwrap(),
            "  customers               done            500 rows       3.0 s"
        );
        board.run_started(of("9", "recurring_transactions"), 24, later);
        for _ in 0..38 {
            board.request_ended();
        }
        let now = later + Duration::from_secs(9);
        board.page_read(of("9", "recurring_transactions"), 31_468, now);
        for _ in 0..12 {
            board.window_finished(of("9", "recurring_transactions"), &window(2_622));
        }
        let lines = board.lines(now, 80);
        assert_eq!(
            lines,
            [
                "  recurring_transactions  █████░░░░░     31,468 rows   50 %       about 9 s left",
                "2 of 2 entities · 38 requests · 6,294 rows/s · Ctrl-C is safe"
            ]
        );
        for columns in [20, 40, 60, 79, 80, 200] {
            let lines = board.lines(now, columns);
            assert!(
                lines.iter().all(|line| width(line) <= columns.min(80)),
                "{lines:?}"
            );
        }
        // The name of the entity and the rows are there on a narrow terminal, too.
        let narrow = board.lines(now, 60);
        assert!(narrow[0].contains("31,468 rows"), "{narrow:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_that_of_the_last_seconds() {
        let begin = Instant::now();
        let mut board = board(begin);
        board.run_started(of("9", "customers"), 2, begin);
        board.page_read(of("9", "customers"), 1000, begin);
        assert_eq!(
            board.rate(begin),
            1000,
            "no more than came in the first second"
        );
        assert_eq!(board.rate(begin + Duration::from_secs(4)), 250);
        // Nothing has come for a while: throttled, or a slow answer.
        assert_eq!(board.rate(begin + Duration::from_secs(6)), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_counted_down() {
        let begin = Instant::now();
        let mut board = board(begin);
        board.run_started(of("9", "customers"), 2, begin);
        board.paused(Duration::from_secs(6), begin);
        let text = "waiting 6 s: QuickBooks asked to slow down";
        assert!(board.lines(begin, 80)[0].contains(text));
        let text = "waiting 2 s: QuickBooks asked to slow down";
        let later = begin + Duration::from_millis(4500);
        assert!(
            board.lines(later, 60)[0].contains(text),
            "{:?}",
            board.lines(later, 60)
        );
        let after = begin + Duration::from_secs(7);
        assert!(!board.lines(after, 80)[0].contains("waiting"));
        let said = board.sentence(later).map(|said| said.text);
        assert_eq!(said.as_deref(), Some(text));
        // Before the first run of a sync, which a pause of another process holds up.
        let mut idle = Board::new(0);
        assert!(idle.lines(begin, 80).is_empty());
        idle.paused(Duration::from_secs(2), begin);
        assert_eq!(idle.lines(begin, 80), [format!("  {text}")]);
        assert!(idle.lines(after, 80).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_load_speaks_of_no_requests() {
        let begin = Instant::now();
        let mut board = Board::new(5000);
        board.call_started("9", &[("items", 2)], begin);
        let run = RunName {
            realm_id: "9",
            entity: "items",
        };
        board.run_started(run, 2, begin);
        board.page_read(run, 1200, begin);
        assert_eq!(board.lines(begin, 80)[1], "1,200 rows/s · Ctrl-C is safe");
        let said = board.sentence(begin).unwrap().text;
        assert_eq!(said, "0 of 2 windows so far, 1,200 rows, 1,200 rows/s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cap_is_shown_and_failures_stay() {
        let begin = Instant::now();
        let mut board = Board::new(5000);
        board.call_started("9", &[("items", 2)], begin);
        board.run_started(of("9", "items"), 2, begin);
        board.request_ended();
        let lines = board.lines(begin, 80);
        assert_eq!(
            lines[1],
            "1 of at most 5,000 requests · 0 rows/s · Ctrl-C is safe"
        );
        let failed = WindowReport {
            status: WindowStatus::Failed,
            ..window(0)
        };
        board.window_finished(of("9", "items"), &failed);
        let line = board.run_finished(of("9", "items"), begin).unwrap();
        assert_eq!(
            line,
            "  items       failed            0 rows  1 of 2 windows"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_requests_of_a_sentence_are_those_of_its_run() {
        let begin = Instant::now();
        let mut board = Board::new(0);
        for _ in 0..579 {
            board.request_ended();
        }
        board.run_started(of("9", "items"), 1, begin);
        board.request_ended();
        let said = board.sentence(begin).unwrap();
        assert_eq!(said.requests, 1);
        assert!(said.text.contains(", 1 request,"), "{}", said.text);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sync_that_finds_nothing_leaves_no_line() {
        let begin = Instant::now();
        let mut board = Board::new(0);
        board.run_started(of("9", "items"), 1, begin);
        board.window_finished(of("9", "items"), &window(0));
        assert_eq!(board.run_finished(of("9", "items"), begin), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_call_did_not_plan_to_read_leaves_no_line() {
        let begin = Instant::now();
        let mut board = Board::new(0);
        board.call_started("9", &[("reports", 2)], begin);
        for (entity, is_told) in [("inventory_adjustments", false), ("reports", true)] {
            board.run_started(of("9", entity), 2, begin);
            board.window_finished(of("9", entity), &window(1));
            let line = board.run_finished(of("9", entity), begin);
            assert_eq!(line.is_some(), is_told, "{entity}");
        }
    }
}
