use super::*;
use crate::error::Error;

#[test]
fn a_sentence_is_made_in_both_languages() {
    for (language, sentence) in [
        (Language::En, "'x' must be en or es"),
        (Language::Es, "'x' debe ser en o es"),
    ] {
        assert_eq!(
            say!(in language; "'{code}' must be en or es", code = "x"),
            sentence
        );
        let text = Error::config("lang", "'x' must be en or es").to_string();
        assert_eq!(
            translated_into(language, &text),
            format!("lang: {sentence}")
        );
    }
}

#[test]
fn a_count_decides_between_singular_and_plural() {
    let windows = |count: usize, language| say!(in language; count count; "{count} window", "{count} windows", count);
    assert_eq!(windows(1, Language::En), "1 window");
    assert_eq!(windows(2, Language::En), "2 windows");
    assert_eq!(windows(1, Language::Es), "1 tramo");
    assert_eq!(windows(0, Language::Es), "0 tramos");
}

#[test]
fn a_template_takes_a_finished_text_apart() {
    let template = Template::parse("a {{b}} {x} of {}: {last:.1}{}");
    let names: Vec<&str> = template.names().collect();
    assert_eq!(names, ["x", "0", "last", "1"]);
    let captures = template.captures("a {b} 1 of two of: it").unwrap();
    assert_eq!(
        captures,
        [("x", "1"), ("0", "two of"), ("last", ""), ("1", "it")]
    );
    assert_eq!(template.fill(&captures), "a {b} 1 of two of: it");
    assert!(template.captures("b {b} 1 of 2: it").is_none());
    let ends = Template::parse("{a} and {b}.");
    assert_eq!(
        ends.captures("x. and y.").unwrap(),
        [("a", "x."), ("b", "y")]
    );
    assert!(ends.captures("x and y").is_none());
}

#[test]
fn a_short_template_takes_no_other_sentence() {
    let spanish = |text| translated_into(Language::Es, text).into_owned();
    assert_eq!(spanish("3 requests"), "3 solicitudes");
    let of_intuit = "An application error has occurred while processing your requests";
    assert_eq!(spanish(of_intuit), of_intuit);
    let stored =
        "QBO_REFRESH_TOKEN: not set, and the table qbo.accounts holds no token of company 9";
    assert!(spanish(stored).starts_with("QBO_REFRESH_TOKEN: sin definir, y "));
    let place = "DATABASE_URL: cannot connect to Postgres at h:1 as user 'x', database 'z': Intuit";
    assert!(spanish(place).starts_with("DATABASE_URL: no se puede conectar"));
}

#[test]
fn clauses_around_a_known_text_stay() {
    let text = "QBO_X: lang: 'y' must be en or es; some words (3 windows)";
    let spanish = "QBO_X: lang: 'y' debe ser en o es; some words (3 tramos)";
    assert_eq!(translated_into(Language::Es, text), spanish);
    assert_eq!(translated_into(Language::En, text), text);
    for strange in ["", ": ", "; ; ", " ((", "\n\n", "ñ: ó; é (ü"] {
        assert_eq!(translated_into(Language::Es, strange), strange);
    }
}

#[test]
fn a_language_is_chosen_by_locale_or_browser() {
    for (locale, language) in [
        ("es_EC.UTF-8", Language::Es),
        ("es", Language::Es),
        ("C.UTF-8", Language::En),
        ("et_EE", Language::En),
        ("", Language::En),
    ] {
        assert_eq!(Language::of_locale(locale), language, "{locale}");
    }
    for (header, language) in [
        ("es-EC,es;q=0.9,en;q=0.8", Language::Es),
        ("en-US,en;q=0.9,es;q=0.8", Language::En),
        ("de, es;q=0.5, en;q=0.2", Language::Es),
        ("es;q=0, en", Language::En),
        ("*", Language::En),
        ("es;q=x", Language::En),
    ] {
        assert_eq!(Language::accepted(header), language, "{header}");
    }
}

#[test]
fn words_of_others_with_many_joints_are_left_alone_within_bounds() {
    for joint in ["a, ", "a; ", "a (b) "] {
        let text = joint.repeat(4096 / joint.len());
        let (done, ended) = std::sync::mpsc::channel();
        let of_others = text.clone();
        std::thread::spawn(move || {
            done.send(translated_into(Language::Es, &of_others).into_owned())
        });
        // Without bounds it takes minutes.
        let translated = ended.recv_timeout(std::time::Duration::from_secs(60));
        assert_eq!(translated.as_deref(), Ok(text.as_str()));
    }
}

/// A comma is the decimal sign for most who read Spanish.
#[test]
fn counts_of_finished_texts_are_written_as_in_the_language() {
    let spanish = |text| translated_into(Language::Es, text).into_owned();
    assert_eq!(
        spanish("1,295 of 500,000 reads this month (0 %)"),
        "1\u{202f}295 de 500\u{202f}000 lecturas este mes (0 %)"
    );
    assert_eq!(spanish("3,4 requests"), "3,4 solicitudes");
}

/// A value in quotation marks is somebody's own, also if it is a word of ours, a count, or has our joints.
#[test]
fn what_is_quoted_stays_as_it_is() {
    for value in [
        "nothing",
        "1,295",
        "nothing; nothing",
        "Nothing: nothing (nothing)",
    ] {
        let text = format!("'{value}' is not a zone; write it as America/Guayaquil");
        let spanish = translated_into(Language::Es, &text);
        assert!(spanish.starts_with(&format!("'{value}' no ")), "{spanish}");
        // Inside of a sentence that no template makes.
        let text = format!("Intuit's words about '{value}': nothing");
        let spanish = translated_into(Language::Es, &text);
        assert_eq!(spanish, format!("Intuit's words about '{value}': nada"));
    }
}

/// Names are the same in every language, also where they are words of ours, and however many there are.
#[test]
fn names_stay_and_the_sentence_around_many_of_them_is_translated() {
    let spanish = |text: &str| translated_into(Language::Es, text).into_owned();
    let names: Vec<String> = (0..200).map(|number| format!("column_{number}")).collect();
    for names in [
        "id, extra",
        "extra",
        &format!("{}, extra", names.join(", ")),
    ] {
        let text = format!("columns: invoices have no column 'numero'; they have {names}");
        let known = format!("columns: invoices no tienen la columna 'numero'; tienen {names}");
        assert_eq!(spanish(&text), known);
        // Also where no template knows them.
        let text = format!("words of others; missing, extra, done, {names}");
        assert_eq!(spanish(&text), text);
    }
    assert_eq!(
        spanish("books: 2 created: gaps, rows"),
        "books: 2 creadas: gaps, rows"
    );
}

#[test]
fn what_the_system_says_is_told_to_people_without_its_number() {
    for (english, spanish) in [
        ("Connection refused (os error 111)", "conexión rechazada"),
        (
            "x: No such file or directory (os error 2); y (z)",
            "x: no existe el archivo o el directorio; y (z)",
        ),
        ("a (os error two) b", "a (os error two) b"),
    ] {
        assert_eq!(translated_into(Language::Es, english), spanish);
    }
    assert_eq!(
        without_numbers_of_errors("a (os error 2): b (os error 13)"),
        "a: b"
    );
}

#[test]
fn a_text_goes_on_behind_its_brackets() {
    let url = "https://intuit.example/?appId=QBO_APP_ID";
    let text = format!(
        "{url} (with the app's id of Intuit's developer portal in place of QBO_APP_ID; set QBO_APP_ID \
         to see it here) (code invalid_grant, intuit_tid=1); Connection refused (6 attempts in 9.4 s)"
    );
    let spanish = translated_into(Language::Es, &text);
    assert_eq!(
        spanish,
        format!(
            "{url} (con el app id del portal de desarrolladores de Intuit en lugar de \
             QBO_APP_ID; defina QBO_APP_ID para verlo aquí) (code invalid_grant, intuit_tid=1); conexión rechazada (6 intentos en \
             9.4 s)"
        )
    );
}

#[test]
fn names_of_arguments_and_commands_are_the_same_in_every_language() {
    let spanish = |text| translated_into(Language::Es, text).into_owned();
    for (english, expected) in [
        ("clock: there is no company 9", "clock: "),
        ("entity: not set", "entity: "),
        ("account: not set", "account: "),
        (
            "sandbox: edit: the arguments entity, id are missing",
            "sandbox: edit: faltan los argumentos entity, id",
        ),
        (
            "void: this is not possible for Invoice",
            "void: esto no es posible con Invoice",
        ),
    ] {
        let told = spanish(english);
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn a_name_takes_no_clauses() {
    let text = "Postgres: permission denied for schema raw; the owner of the tables runs: GRANT USAGE ON SCHEMA qbo, \"raw\" TO \"x\"; \
                GRANT SELECT ON ALL TABLES IN SCHEMA qbo, \"raw\" TO \"x\"; (SQLSTATE 42501)";
    let told = translated_into(Language::Es, text);
    assert!(!told.contains("the owner"), "{told}");
    assert!(told.ends_with("TO \"x\"; (SQLSTATE 42501)"), "{told}");
}
