//! The progress of a call: lines that change on a terminal, a line of the log every ten seconds
//! elsewhere.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, info_span};

use super::board::Board;
use super::words::{MAX_WIDTH, fitted};
use crate::domain::WindowReport;
use crate::port::{Endpoint, Progress, RunName};

/// The time between two drawings.
const REDRAW: Duration = Duration::from_millis(200);
/// The time between two lines of the log.
const REPORT: Duration = Duration::from_secs(10);

/// The display of this process, if stderr is a terminal.
static SHOWN: OnceLock<Bars> = OnceLock::new();

/// Hides the display while `act` writes to the terminal.
pub(super) fn suspend<T>(act: impl FnOnce() -> T) -> T {
    match SHOWN.get() {
        Some(bars) => bars.suspend(act),
        None => act(),
    }
}

/// Removes the display, until another call of this command begins to read.
pub(super) fn hide() {
    if let Some(bars) = SHOWN.get() {
        bars.board.lock().call_ended();
        bars.bar.finish_and_clear();
    }
}

/// Lines at the end of a terminal. What is done scrolls up above them.
#[derive(Debug, Clone)]
pub(super) struct Bars {
    bar: ProgressBar,
    board: Arc<Mutex<Board>>,
    _ticks: Arc<Ticks>,
}

impl Bars {
    /// Starts the display. `cap` is the maximum number of requests; 0: unlimited.
    pub(super) fn new(cap: u64) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // The template is a constant; a mistake in it would show in the first run.
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        let board = Arc::new(Mutex::new(Board::new(cap)));
        let drawn = bar.clone();
        let ticks = Ticks::start(REDRAW, &board, move |board| draw(&drawn, board));
        let bars = Self {
            bar,
            board,
            _ticks: Arc::new(ticks),
        };
        let _ = SHOWN.set(bars.clone());
        bars
    }

    /// Hides the lines while `act` writes to the terminal.
    pub(super) fn suspend<T>(&self, act: impl FnOnce() -> T) -> T {
        self.bar.suspend(act)
    }
}

/// Returns the columns of the terminal that can be written.
fn columns() -> usize {
    let columns = Term::stderr().size_checked();
    let columns = columns.map_or(MAX_WIDTH, |(_, columns)| usize::from(columns));
    // A terminal that is full to its last column may begin another line by itself.
    columns.saturating_sub(1)
}

fn draw(bar: &ProgressBar, board: &Board) {
    let lines = board.lines(Instant::now(), columns());
    let was_blank = bar.is_finished() || bar.message().is_empty();
    if lines.is_empty() && was_blank {
        return;
    }
    if bar.is_finished() {
        bar.reset();
    }
    bar.set_message(lines.join("\n"));
}

impl Progress for Bars {
    fn next(&self) -> Option<&dyn Progress> {
        Some(&*self.board)
    }

    fn run_finished(&self, run: RunName<'_>) {
        let line = self.board.lock().run_finished(run, Instant::now());
        if let Some(line) = line {
            self.bar.println(fitted(&line, columns()));
        }
        draw(&self.bar, &self.board.lock());
    }
}

/// A line of the log every ten seconds, where nobody watches a terminal.
#[derive(Debug)]
pub(super) struct Heartbeat {
    board: Arc<Mutex<Board>>,
    _ticks: Ticks,
}

impl Heartbeat {
    /// Starts the lines. `phase` is that of the call, `cap` the maximum number of requests.
    pub(super) fn new(phase: &'static str, cap: u64) -> Self {
        let board = Arc::new(Mutex::new(Board::new(cap)));
        let ticks = Ticks::start(REPORT, &board, move |board| log(phase, board));
        Self {
            board,
            _ticks: ticks,
        }
    }
}

fn log(phase: &str, board: &Board) {
    let Some(((realm_id, entity), said)) = board.place().zip(board.sentence(Instant::now())) else {
        return;
    };
    let _of_run = info_span!("run", realm_id, entity).entered();
    info!(
        phase,
        event = "progress",
        entities_done = said.entities_done,
        entities = said.entities,
        windows_done = said.windows_done,
        windows = said.windows,
        rows = said.rows,
        requests = said.requests,
        "{}",
        said.text
    );
}

impl Progress for Heartbeat {
    fn next(&self) -> Option<&dyn Progress> {
        Some(&*self.board)
    }
}

/// The observer that both displays hold: events go to the board with the time at which they happen.
impl Progress for Mutex<Board> {
    fn call_started(&self, realm_id: &str, runs: &[(&str, usize)]) {
        self.lock().call_started(realm_id, runs, Instant::now());
    }

    fn run_started(&self, run: RunName<'_>, windows: usize) {
        self.lock().run_started(run, windows, Instant::now());
    }

    fn page_read(&self, run: RunName<'_>, rows: usize) {
        self.lock().page_read(run, rows, Instant::now());
    }

    fn window_finished(&self, run: RunName<'_>, window: &WindowReport) {
        self.lock().window_finished(run, window);
    }

    fn run_finished(&self, run: RunName<'_>) {
        self.lock().run_finished(run, Instant::now());
    }

    fn request_ended(&self, endpoint: Endpoint, _status: Option<u16>, _elapsed: Duration) {
        if endpoint == Endpoint::Data {
            self.lock().request_ended();
        }
    }

    fn paused(&self, wait: Duration) {
        self.lock().paused(wait, Instant::now());
    }
}

/// A thread that looks at the board at intervals. It ends with its owner.
#[derive(Debug)]
struct Ticks {
    _owner: SyncSender<()>,
}

impl Ticks {
    fn start(
        interval: Duration,
        board: &Arc<Mutex<Board>>,
        act: impl Fn(&Board) + Send + 'static,
    ) -> Self {
        let (owner, ended) = sync_channel(0);
        let board = Arc::downgrade(board);
        // Without a thread there is only less to see.
        let thread = std::thread::Builder::new().name("progress".to_owned());
        let _ = thread.spawn(move || look(interval, &board, &ended, act));
        Self { _owner: owner }
    }
}

fn look(
    interval: Duration,
    board: &Weak<Mutex<Board>>,
    ended: &Receiver<()>,
    act: impl Fn(&Board),
) {
    while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        let Some(board) = board.upgrade() else { return };
        act(&board.lock());
    }
}
