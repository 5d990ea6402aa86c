//! Faults that come again: on a terminal, each is told in full once.

use std::collections::HashMap;

use parking_lot::Mutex;

/// The most faults that are remembered. Beyond that all are forgotten, and told in full once more: a command that goes
/// on for months meets ever new ones.
const MAX_REMEMBERED: usize = 1000;

/// The faults that were told, and how often each has come.
#[derive(Debug, Default)]
pub(super) struct Repeats(Mutex<HashMap<String, u32>>);

impl Repeats {
    /// Counts a text and returns how often the same fault has come by now.
    pub(super) fn count(&self, text: &str) -> u32 {
        let fault = fault_of(text);
        let mut told = self.0.lock();
        if told.len() >= MAX_REMEMBERED && !told.contains_key(&fault) {
            told.clear();
        }
        let count = told.entry(fault).or_default();
        *count += 1;
        *count
    }
}

/// Returns a text without what differs between two answers of one fault: ids of answers, and the number and time
/// of attempts. Both stand in brackets, where a code of the fault may stand beside them.
pub(super) fn fault_of(text: &str) -> String {
    let differs = |part: &&str| part.starts_with("intuit_tid=") || part.contains(" attempts in ");
    let mut fault = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(" (") {
        let Some((inside, behind)) = after.split_once(')') else {
            break;
        };
        fault.push_str(before);
        let kept: Vec<&str> = inside.split(", ").filter(|part| !differs(part)).collect();
        if !kept.is_empty() {
            fault.extend([" (", &kept.join(", "), ")"]);
        }
        rest = behind;
    }
    fault + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_comes_again_with_another_id_and_not_with_another_status_or_code() {
        let repeats = Repeats::default();
        let text = |status, code, tid| {
            format!("answered {status} (code {code}, intuit_tid={tid}) (6 attempts in 9.4 s)")
        };
        assert_eq!(repeats.count(&text(500, 10000, "a")), 1);
        assert_eq!(repeats.count(&text(500, 10000, "b")), 2);
        assert_eq!(repeats.count(&text(503, 10000, "c")), 1);
        assert_eq!(repeats.count(&text(500, 3100, "d")), 1);
        assert_eq!(repeats.count("the file (a.txt) cannot be read"), 1);
        assert_eq!(repeats.count("the file (b.txt) cannot be read"), 1);
        assert_eq!(repeats.count("open (x"), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let repeats = Repeats::default();
        for n in 0..2 * MAX_REMEMBERED {
            repeats.count(&format!("fault {n}"));
            assert!(repeats.0.lock().len() <= MAX_REMEMBERED);
        }
        assert_eq!(
            repeats.count(&format!("fault {}", 2 * MAX_REMEMBERED - 1)),
            2
        );
    }
}
