//! Examples, and pages that explain more, for the help of each command.

/// The help of one command.
#[derive(Debug)]
pub(super) struct HelpPage {
    /// Path of the command below `qbo-rs`; empty for `qbo-rs` itself.
    pub command: &'static str,
    /// Lines to copy, at most three.
    pub examples: &'static [&'static str],
    /// Page of the documentation.
    pub docs: &'static str,
}

const fn page(
    command: &'static str,
    docs: &'static str,
    examples: &'static [&'static str],
) -> HelpPage {
    HelpPage {
        command,
        examples,
        docs,
    }
}

/// The help of every command.
pub(super) const PAGES: &[HelpPage] = &[
    page(
        "",
        "guide.md",
        &[
            "qbo-rs demo",
            "qbo-rs backfill invoices --start 2024-01-01 --end 2025-01-01",
            "qbo-rs sync --every 5m",
        ],
    ),
    page(
        "backfill",
        "loading.md",
        &[
            "qbo-rs backfill invoices --start 2024-01-01 --through 2024-12-31 --chunk month",
            "qbo-rs backfill all --last 90d --resume",
            "qbo-rs backfill customers,items --month 2024-01 --dry-run",
        ],
    ),
    page(
        "extract",
        "loading.md",
        &[
            "qbo-rs extract invoices --quarter 2024-Q1 --out landing",
            "qbo-rs extract items --start 2024-01-01 --end today --out items.parquet",
            "qbo-rs extract customers --last 7d --out -",
        ],
    ),
    page(
        "load",
        "loading.md",
        &[
            "qbo-rs load landing",
            "qbo-rs load items.parquet --schema raw_acme",
        ],
    ),
    page(
        "verify",
        "verify.md",
        &[
            "qbo-rs verify invoices --start 2024-01-01 --end 2025-01-01 --chunk month",
            "qbo-rs verify all --last 30d --deep --repair --chunk year",
            "qbo-rs verify --books --end 2025-12-31",
        ],
    ),
    page(
        "sync",
        "sync.md",
        &[
            "qbo-rs sync",
            "qbo-rs sync customers invoices --json",
            "qbo-rs sync --every 5m",
        ],
    ),
    page(
        "serve",
        "service.md",
        &[
            "qbo-rs serve --every 5m",
            "qbo-rs serve customers invoices --port 9000",
        ],
    ),
    page(
        "status",
        "loading.md",
        &[
            "qbo-rs status",
            "qbo-rs status invoices --tz America/Guayaquil",
            "qbo-rs status --validate",
        ],
    ),
    page(
        "check",
        "check.md",
        &[
            "qbo-rs check",
            "qbo-rs check --env-file .env",
            "qbo-rs check --lift-pause",
        ],
    ),
    page(
        "show",
        "show.md",
        &[
            "qbo-rs show invoices",
            "qbo-rs show invoices --where id=17 --columns all --json",
            "qbo-rs show customers --columns id,display_name,balance --csv",
        ],
    ),
    page(
        "rejects",
        "loading.md",
        &[
            "qbo-rs rejects",
            "qbo-rs rejects invoices --month 2024-01 --json",
        ],
    ),
    page(
        "reports",
        "reports.md",
        &[
            "qbo-rs reports TrialBalance --start 2025-01-01 --end 2025-12-31",
            "qbo-rs reports GeneralLedger --start 2025-01-01 --end 2025-12-31 --changed",
            "qbo-rs reports --list",
        ],
    ),
    page(
        "auth",
        "connect.md",
        &["qbo-rs auth login", "qbo-rs auth status"],
    ),
    page(
        "auth login",
        "connect.md",
        &[
            "qbo-rs auth login",
            "qbo-rs auth login --redirect-uri https://example.com/callback --paste",
        ],
    ),
    page(
        "auth status",
        "guide.md",
        &["qbo-rs auth status", "qbo-rs auth status --json"],
    ),
    page(
        "auth import",
        "connect.md",
        &[
            "qbo-rs auth import token.txt",
            "qbo-rs auth import - --realm-id 9341450000000001",
        ],
    ),
    page(
        "auth revoke",
        "guide.md",
        &["qbo-rs auth revoke --realm-id 9341450000000001"],
    ),
    page(
        "auth forget",
        "guide.md",
        &["qbo-rs auth forget --realm-id 9341450000000001"],
    ),
    page("auth rekey", "connect.md", &["qbo-rs auth rekey"]),
    page(
        "entities",
        "guide.md",
        &["qbo-rs entities", "qbo-rs entities --json"],
    ),
    page(
        "sandbox",
        "sandbox.md",
        &[
            "qbo-rs sandbox",
            "qbo-rs sandbox -- qbo-rs sync",
            "qbo-rs sandbox --fault throttle,nth=3,format=json",
        ],
    ),
    page(
        "sandbox control",
        "sandbox.md",
        &[
            "qbo-rs sandbox control",
            "qbo-rs sandbox control edit entity=Invoice id=5",
            "qbo-rs sandbox control clock advance=31d",
        ],
    ),
    page(
        "sandbox conform",
        "conform.md",
        &[
            "qbo-rs sandbox conform --against https://sandbox-quickbooks.api.intuit.com",
            "qbo-rs sandbox conform --against http://127.0.0.1:8911 --out conform.json",
        ],
    ),
    page("demo", "guide.md", &["qbo-rs demo", "qbo-rs demo --stop"]),
    page(
        "db",
        "loading.md",
        &["qbo-rs db migrate --print", "qbo-rs db views"],
    ),
    page(
        "db archive",
        "loading.md",
        &["qbo-rs db archive invoices --before 2020-01-01 --out old.jsonl.zst"],
    ),
    page(
        "db migrate",
        "loading.md",
        &["qbo-rs db migrate --print", "qbo-rs db migrate"],
    ),
    page(
        "db ddl",
        "loading.md",
        &["qbo-rs db ddl", "qbo-rs db ddl invoices --schema raw_acme"],
    ),
    page(
        "db views",
        "views.md",
        &[
            "qbo-rs db views",
            "qbo-rs db views --schema raw_acme --into books_acme",
            "qbo-rs db views --style fivetran --print",
        ],
    ),
    page(
        "db ledger",
        "ledger.md",
        &[
            "qbo-rs db ledger",
            "qbo-rs db ledger --schema raw_acme --into books_acme",
        ],
    ),
    page(
        "mage",
        "mage.md",
        &["qbo-rs mage new-pipeline vendors --project mage_project"],
    ),
    page(
        "mage new-pipeline",
        "mage.md",
        &[
            "qbo-rs mage new-pipeline vendors",
            "qbo-rs mage new-pipeline bills --project mage_project",
        ],
    ),
    page(
        "completion",
        "guide.md",
        &[
            "qbo-rs completion bash > ~/.local/share/bash-completion/completions/qbo-rs",
            "qbo-rs completion zsh > ~/.zfunc/_qbo-rs",
            "qbo-rs completion fish > ~/.config/fish/completions/qbo-rs.fish",
        ],
    ),
    page(
        "help",
        "settings.md",
        &["qbo-rs help backfill", "qbo-rs help settings"],
    ),
];

/// Returns the help of a command, by its path below `qbo-rs`.
pub(super) fn page_of(command: &str) -> Option<&'static HelpPage> {
    PAGES.iter().find(|page| page.command == command)
}
