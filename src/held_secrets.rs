//! The secrets that this process holds: tokens, keys, passwords. Texts of others are shown without them,
//! whatever they look like.
//!
//! A secret is known from [`hold`] until its last holder drops it, and a while longer: an answer may repeat
//! the token that has just been replaced.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};

/// Bytes of the shortest secret that is hidden. A shorter one is a word of many texts, and no token.
const SHORTEST: usize = 8;
/// Bytes by which the beginning of a secret is known, where others have cut it.
const BEGINNING: usize = 16;
/// Secrets that are known after their last holder has dropped them: some rotations of the tokens of a few
/// companies.
const RECENT: usize = 64;
/// The mark in the place of a secret.
const HIDDEN: &str = "***";

/// A secret that texts of others are shown without. It is wiped when it is dropped.
pub(crate) struct Held {
    text: SecretString,
    /// The texts that others could make of it, or find in it.
    forms: Vec<SecretString>,
}

impl Held {
    fn new(text: String) -> Self {
        Self {
            forms: forms(&text),
            text: text.into(),
        }
    }

    /// Returns the text. Only for sending it.
    pub(crate) fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    fn forms(&self) -> impl Iterator<Item = &[u8]> {
        self.forms
            .iter()
            .map(|form| form.expose_secret().as_bytes())
    }
}

/// Returns the forms in which an answer could show a secret: as it is, as a form sends it, and, of a URL, its
/// password.
fn forms(text: &str) -> Vec<SecretString> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let mut forms = vec![text.to_owned(), encoded(text)];
    for password in passwords_of(text) {
        let decoded = percent_encoding::percent_decode_str(&password).decode_utf8_lossy();
        forms.push(decoded.into_owned());
        forms.push(password);
    }
    forms.sort_unstable();
    forms.dedup();
    forms.retain(|form| form.len() >= SHORTEST);
    forms.into_iter().map(SecretString::from).collect()
}

/// Returns what may be the password of a URL, or of the keywords of an address.
fn passwords_of(text: &str) -> Vec<String> {
    let by_name = text.split_once("password").and_then(|(_, rest)| {
        let value = rest.trim_start().strip_prefix('=')?.trim_start();
        Some(match value.strip_prefix('\'') {
            Some(quoted) => unquoted(quoted),
            None => value.split(['&', ' ']).next()?.to_owned(),
        })
    });
    let after_scheme = text.split_once("://").map_or("", |(_, rest)| rest);
    // A later @ may belong to a parameter, or the password may have a question mark.
    let before_parameters = after_scheme.split('?').next().unwrap_or_default();
    let by_place = [after_scheme, before_parameters]
        .into_iter()
        .filter_map(|rest| {
            let (login, _) = rest.rsplit_once('@')?;
            login
                .split_once(':')
                .map(|(_, password)| password.to_owned())
        });
    by_name.into_iter().chain(by_place).collect()
}

/// Returns a text up to the quote that ends it. A backslash stands before a quote or another one.
fn unquoted(text: &str) -> String {
    let (mut value, mut rest) = (String::new(), text.chars());
    while let Some(letter) = rest.next() {
        match letter {
            '\'' => break,
            '\\' => value.extend(rest.next()),
            other => value.push(other),
        }
    }
    value
}

#[derive(Default)]
struct Register {
    /// By the first bytes of each form, so that a text is searched once for all of them.
    by_start: HashMap<[u8; SHORTEST], Vec<Weak<Held>>>,
    recent: VecDeque<Arc<Held>>,
    /// Names that are shown, whatever secret is a part of them.
    shown: HashSet<String>,
    /// Number of forms of secrets.
    known: usize,
    /// The number at which those of secrets that nobody holds are forgotten.
    next_sweep: usize,
}

static REGISTER: LazyLock<Mutex<Register>> = LazyLock::new(Mutex::default);

/// Holds a secret: no text that passes [`hide`] shows it from now on.
pub(crate) fn hold(text: String) -> Arc<Held> {
    let held = Arc::new(Held::new(text));
    let mut register = REGISTER.lock();
    register.add(held)
}

/// Shows a name: a password that is a part of it, such as `postgres`, hides nothing. It would blank out ordinary
/// words of others, and the name tells it anyway.
pub(crate) fn show(name: &str) {
    if name.len() >= SHORTEST {
        REGISTER.lock().shown.insert(name.to_owned());
    }
}

/// Returns a text of others with `***` in the place of every secret, and of every beginning of one that is
/// long enough to tell it.
pub(crate) fn hide(text: &str) -> Cow<'_, str> {
    let register = REGISTER.lock();
    let mut hidden = String::new();
    let mut shown = 0;
    let mut at = 0;
    while let Some(start) = text.as_bytes().get(at..).and_then(<[u8]>::first_chunk) {
        let length = register.length_of_secret(start, &text[at..]);
        if length == 0 {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        }
        hidden.push_str(&text[shown..at]);
        hidden.push_str(HIDDEN);
        at += length;
        shown = at;
    }
    match shown {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(hidden + &text[shown..]),
    }
}

impl Register {
    /// Returns the secret, or the same one that is held already.
    fn add(&mut self, held: Arc<Held>) -> Arc<Held> {
        let held = self.same(&held).unwrap_or_else(|| {
            for start in held.forms().filter_map(<[u8]>::first_chunk) {
                let holders = self.by_start.entry(*start).or_default();
                holders.push(Arc::downgrade(&held));
                self.known += 1;
            }
            held
        });
        self.recent.retain(|recent| !Arc::ptr_eq(recent, &held));
        self.recent.push_back(held.clone());
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        if self.known > self.next_sweep {
            self.sweep();
        }
        held
    }

    fn same(&self, held: &Held) -> Option<Arc<Held>> {
        let start = held.expose().as_bytes().first_chunk()?;
        let known = self.by_start.get(start)?.iter().filter_map(Weak::upgrade);
        known
            .into_iter()
            .find(|known| known.expose() == held.expose())
    }

    fn is_shown(&self, secret: &[u8]) -> bool {
        std::str::from_utf8(secret)
            .is_ok_and(|secret| self.shown.iter().any(|name| name.contains(secret)))
    }

    fn sweep(&mut self) {
        self.by_start.retain(|_, holders| {
            holders.retain(|held| held.strong_count() > 0);
            !holders.is_empty()
        });
        self.known = self.by_start.values().map(Vec::len).sum();
        self.next_sweep = 2 * self.known.max(RECENT);
    }

    /// Returns how many bytes at the start of a text are a secret, or the beginning of one; 0 if none.
    fn length_of_secret(&self, start: &[u8; SHORTEST], text: &str) -> usize {
        let known = self.by_start.get(start).into_iter().flatten();
        let lengths = known.filter_map(Weak::upgrade).filter_map(|held| {
            let hidden = held.forms().filter(|form| !self.is_shown(form));
            hidden.map(|form| common(form, text)).max()
        });
        lengths.max().unwrap_or_default()
    }
}

/// Returns how many bytes of a secret a text begins with; 0 if they do not tell it.
fn common(secret: &[u8], text: &str) -> usize {
    let same = secret.iter().zip(text.as_bytes());
    let mut length = same.take_while(|(ours, theirs)| ours == theirs).count();
    if length < secret.len().min(BEGINNING) {
        return 0;
    }
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_in_every_form_and_place() {
        let _held = [
            hold("lettersWithoutADigit".to_owned()),
            hold("a/b+c=d e%f".to_owned()),
            hold("postgresql://ana:horsebattery%40@h/books".to_owned()),
            hold("host=h password=staplecorrect user=ana".to_owned()),
            hold(r"host=h password = 'it\'s a secret' user=ana".to_owned()),
            hold("postgresql://ana:stablehorses@h/books?application_name=a@b".to_owned()),
            hold("postgresql://ana:what?horses@h/books".to_owned()),
            hold("contraseñaéé".to_owned()),
        ];
        for (text, shown) in [
            ("xlettersWithoutADigity", "x***y"),
            ("lettersWithoutADigitlettersWithoutADigit", "******"),
            ("é lettersWithoutADé", "é ***é"),
            ("letters and others", "letters and others"),
            ("lettersWithoutX", "lettersWithoutX"),
            ("a/b+c=d e%f; a%2Fb%2Bc%3Dd+e%25f", "***; ***"),
            ("horsebattery%40 horsebattery@", "*** ***"),
            ("staplecorrect", "***"),
            ("with it's a secret.", "with ***."),
            ("with stablehorses or what?horses", "with *** or ***"),
            ("contraseñaéé contraseñaé", "*** contraseñaé"),
            ("", ""),
        ] {
            assert_eq!(hide(text), shown);
        }
        assert!(matches!(hide("nothing of it"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_short_word_is_no_secret_in_a_text_of_others() {
        let _held = [hold("qbo".to_owned()), hold("invoice".to_owned())];
        assert_eq!(hide("invoice of qbo"), "invoice of qbo");
    }

    #[test]
    fn a_password_that_is_a_part_of_a_shown_name_hides_no_word() {
        let _held = [
            hold("postgresql://storeroom:storeroom@h/storeroom_eu".to_owned()),
            hold("storeroom_and_more".to_owned()),
        ];
        assert_eq!(hide("table storeroom_eu"), "table ***_eu");
        show("storeroom_eu");
        for (text, shown) in [
            ("table storeroom_eu", "table storeroom_eu"),
            ("role storeroom", "role storeroom"),
            ("with storeroom_and_more", "with ***"),
        ] {
            assert_eq!(hide(text), shown);
        }
    }

    #[test]
    fn a_secret_is_known_while_it_is_held_and_for_some_rotations_after() {
        let token = |number: usize| format!("token number {number} of a rotation");
        let mut register = Register::default();
        let is_known = |register: &Register, number| {
            let text = token(number);
            let start = text.as_bytes().first_chunk().unwrap();
            register.length_of_secret(start, &text) == text.len()
        };
        let first = register.add(Arc::new(Held::new(token(0))));
        for number in 1..=1000 {
            register.add(Arc::new(Held::new(token(number))));
            assert!(is_known(&register, 0) && is_known(&register, number));
            assert!(is_known(&register, number.saturating_sub(RECENT - 1)));
        }
        assert!(!is_known(&register, 1000 - RECENT));
        let known: usize = register.by_start.values().map(Vec::len).sum();
        assert!(known < 6 * RECENT, "{known} of 2000");
        assert!(Arc::ptr_eq(
            &first,
            &register.add(Arc::new(Held::new(token(0))))
        ));
    }
}
