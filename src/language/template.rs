//! Templates: literal text with placeholders, as in `format!`.

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// A placeholder's name; its number if it has none.
    Placeholder(String),
}

/// A template, split into its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

impl Template {
    /// Splits a template. `{{` and `}}` are braces, `{name:.1}` is the placeholder `name`, and the
    /// n-th `{}` is the placeholder `n`, counted from 0.
    pub(crate) fn parse(text: &str) -> Self {
        let (mut parts, mut literal, mut unnamed) = (Vec::new(), String::new(), 0);
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let (inside, after) = rest.split_once('}').unwrap_or((rest, ""));
            rest = after;
            let name = inside.split(':').next().unwrap_or_default().trim();
            let name = match name {
                "" => {
                    unnamed += 1;
                    (unnamed - 1).to_string()
                }
                name => name.to_owned(),
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Placeholder(name));
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Self(parts)
    }

    /// Returns the names of the placeholders, in the order of the text.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Placeholder(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// Returns the literal after a placeholder that the template begins with.
    pub(crate) fn after_first_placeholder(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Placeholder(_), Part::Literal(literal), ..] => Some(literal),
            _ => None,
        }
    }

    /// Returns the number of letters outside placeholders.
    pub(crate) fn letters(&self) -> usize {
        let literals = self.0.iter().filter_map(|part| match part {
            Part::Literal(text) => Some(text),
            Part::Placeholder(_) => None,
        });
        literals
            .map(|text| text.chars().filter(|c| c.is_alphabetic()).count())
            .sum()
    }

    /// Puts values into the placeholders. One without a value stays as it is.
    pub(crate) fn fill<V: AsRef<str>>(&self, values: &[(&str, V)]) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Placeholder(name) => match values.iter().find(|(of, _)| of == name) {
                    Some((_, value)) => out.push_str(value.as_ref()),
                    None => out.extend(["{", name, "}"]),
                },
            }
        }
        out
    }

    /// Returns the values that make the template into a text; `None` if there are none. A placeholder
    /// takes as little as it can.
    pub(crate) fn captures<'t>(&'t self, text: &'t str) -> Option<Vec<(&'t str, &'t str)>> {
        let (mut captures, mut open, mut rest) = (Vec::new(), None, text);
        for (number, part) in self.0.iter().enumerate() {
            match part {
                Part::Placeholder(name) => {
                    if let Some(before) = open.replace(name.as_str()) {
                        captures.push((before, ""));
                    }
                }
                Part::Literal(literal) => {
                    let is_last = number + 1 == self.0.len();
                    let at = match open {
                        None => rest.starts_with(literal.as_str()).then_some(0),
                        // Leftmost places are enough for a glob, but its last literal must be at the end.
                        Some(_) if is_last => rest
                            .len()
                            .checked_sub(literal.len())
                            .filter(|_| rest.ends_with(literal.as_str())),
                        Some(_) => rest.find(literal.as_str()),
                    }?;
                    if let Some(name) = open.take() {
                        captures.push((name, &rest[..at]));
                    }
                    rest = &rest[at + literal.len()..];
                }
            }
        }
        match open {
            Some(name) => captures.push((name, rest)),
            None if !rest.is_empty() => return None,
            None => {}
        }
        Some(captures)
    }

    /// Returns for each placeholder whether it stands in quotation marks.
    pub(crate) fn quoted(&self) -> impl Iterator<Item = bool> {
        let literal = |number: Option<usize>| match number.and_then(|number| self.0.get(number)) {
            Some(Part::Literal(literal)) => literal.as_str(),
            _ => "",
        };
        let parts = self.0.iter().enumerate();
        let placeholders = parts.filter(|(_, part)| matches!(part, Part::Placeholder(_)));
        placeholders.map(move |(number, _)| {
            let before = literal(number.checked_sub(1)).chars().next_back();
            let after = literal(Some(number + 1)).chars().next();
            before == after && before.is_some_and(|mark| QUOTES.contains(&mark))
        })
    }
}

/// The marks around values in texts.
pub(crate) const QUOTES: [char; 3] = ['\'', '"', '`'];
