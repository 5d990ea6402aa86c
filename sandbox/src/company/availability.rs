//! Changes of what a company can use of QuickBooks.

use super::change::{Outcome, find_entity};
use super::plan::{Closure, Refusal};
use super::records::Company;
use super::view::{Include, IncludeAnswer, View};

impl Company {
    /// Takes an entity away from the company, or gives it back if there is no refusal.
    ///
    /// # Errors
    /// [`ChangeError`](super::ChangeError) if the entity is unknown.
    pub fn set_refusal(&mut self, entity: &str, refusal: Option<Refusal>) -> Outcome {
        let entity = find_entity(entity)?;
        match refusal {
            Some(refusal) => self.plan.refused.insert(entity.name, refusal),
            None => self.plan.refused.remove(entity.name),
        };
        Ok(())
    }

    /// Returns the answer to requests for an entity, if the company does not have it.
    pub(crate) fn refusal(&self, entity: &str) -> Option<Refusal> {
        self.plan.refused.get(entity).copied()
    }

    /// Withdraws a tax classification, or brings it back.
    pub(crate) fn set_withdrawn(&mut self, classification: &str, is_withdrawn: bool) {
        match is_withdrawn {
            true => self.plan.withdrawn.insert(classification.to_owned()),
            false => self.plan.withdrawn.remove(classification),
        };
    }

    pub(crate) fn is_withdrawn(&self, classification: &str) -> bool {
        self.plan.withdrawn.contains(classification)
    }

    /// Sets the name of the company's plan.
    pub(crate) fn set_plan_name(&mut self, name: &str) {
        self.plan.name = Some(name.to_owned());
    }

    pub(crate) fn plan_name(&self) -> &str {
        self.plan
            .name
            .as_deref()
            .unwrap_or("QuickBooks Online Plus")
    }

    /// Closes the company, or opens it again if there is no answer.
    pub(crate) fn set_closure(&mut self, closure: Option<Closure>) {
        self.plan.closure = closure;
    }

    /// Sets the answer to requests that ask for more than QuickBooks answers unasked.
    pub(crate) fn set_include(&mut self, include: Include, answer: IncludeAnswer) {
        match include {
            Include::CustomFields => self.display.custom_fields = answer,
            Include::InvoiceLink => self.display.invoice_link = answer,
        }
    }

    /// Returns the view of a request with these values of `include`. Unknown values do not count.
    ///
    /// # Errors
    /// The value that the company refuses.
    pub(crate) fn view(&self, includes: &[&str]) -> Result<View, Include> {
        let mut view = View::default();
        for include in includes.iter().filter_map(|name| Include::find(name)) {
            let answer = match include {
                Include::CustomFields => self.display.custom_fields,
                Include::InvoiceLink => self.display.invoice_link,
            };
            match answer {
                IncludeAnswer::Served => view.add(include),
                IncludeAnswer::Refused => return Err(include),
                IncludeAnswer::Ignored => {}
            }
        }
        Ok(view)
    }

    /// Sets whether references show the short names of accounts. No `LastUpdatedTime` moves.
    pub(crate) fn set_short_account_names(&mut self, is_short: bool) {
        self.display.has_short_account_names = is_short;
    }

    /// Returns the answer to every request, if the company is closed.
    pub(crate) fn closure(&self) -> Option<&Closure> {
        self.plan.closure.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_can_be_taken_away_and_given_back() {
        let mut company = Company::default();
        let refusal = Refusal::of_code("5030").unwrap();
        company.set_refusal("journalcode", Some(refusal)).unwrap();
        assert_eq!(company.refusal("JournalCode"), Some(Refusal::Feature));
        assert_eq!(company.refusal("Invoice"), None);
        company.set_refusal("JournalCode", None).unwrap();
        assert_eq!(company.refusal("JournalCode"), None);
        assert!(company.set_refusal("Nonsense", None).is_err());
        let words = Refusal::of_code("1").unwrap_err();
        assert!(words.contains("5020, 5030, 500, 4001"), "{words}");
    }
}
