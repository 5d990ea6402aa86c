//! The command `qbo-rs`.

fn main() {
    std::process::exit(qbo_rs::cli::run(std::env::args_os()));
}
