//! Faults that come again: on a terminal, each is told in full once.

use std::collections::HashMap;

use parking_lot::Mutex;

/// The faults that were told, and how often each has come.
#[derive(Debug, Default)]
pub(super) struct Repeats(Mutex<HashMap<String, u32>>);

impl Repeats {
    /// Counts a text and returns how often the same fault has come by now.
    pub(super) fn count(&self, text: &str) -> u32 {
        let mut told = self.0.lock();
        let count = told.entry(fault_of(text)).or_default();
        *count += 1;
        *count
    }
}

/// Returns a text without what differs between two answers of one fault: ids of answers, and the number and time
/// of attempts. Both stand in brackets.
fn fault_of(text: &str) -> String {
    let mut fault = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(" (") {
        let Some((inside, behind)) = after.split_once(')') else {
            break;
        };
        fault.push_str(before);
        let differs = ["intuit_tid=", " attempts in "];
        if !differs.iter().any(|word| inside.contains(word)) {
            fault.extend([" (", inside, ")"]);
        }
        rest = behind;
    }
    fault + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_comes_again_with_another_id_and_not_with_another_code() {
        let repeats = Repeats::default();
        let text = |code, tid| {
            format!("answered {code} (code 10000, intuit_tid={tid}) (6 attempts in 9.4 s)")
        };
        assert_eq!(repeats.count(&text(500, "a")), 1);
        assert_eq!(repeats.count(&text(500, "b")), 2);
        assert_eq!(repeats.count(&text(503, "c")), 1);
        assert_eq!(repeats.count("the file (a.txt) cannot be read"), 1);
        assert_eq!(repeats.count("the file (b.txt) cannot be read"), 1);
        assert_eq!(repeats.count("open (x"), 1);
    }
}
