//! The values of `--basis`.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::domain::Basis;

impl ValueEnum for Basis {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Accrual, Self::Cash]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Accrual => "When it is earned",
            Self::Cash => "When it is paid",
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}
