//! Data forms (XEP-0004): `<x xmlns='jabber:x:data'>`.

use minidom::Element;
use thiserror::Error;

use crate::build::element;

/// Namespace of data forms.
pub const NS: &str = "jabber:x:data";

/// What a form is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormKind {
    /// To be filled in.
    Form,
    /// Filled in.
    Submit,
    /// Given up.
    Cancel,
    /// Data for reading.
    Result,
}

impl FormKind {
    /// The word used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Submit => "submit",
            Self::Cancel => "cancel",
            Self::Result => "result",
        }
    }
}

/// One field of a form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// Name.
    pub var: String,
    /// `boolean`, `hidden`, `text-single`, ...; absent in submissions.
    pub kind: Option<String>,
    /// Text for people.
    pub label: Option<String>,
    /// Values, in order.
    pub values: Vec<String>,
}

/// A form or its answer. Fields without a name are dropped when it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataForm {
    /// What the form is for.
    pub kind: FormKind,
    /// Fields, in order.
    pub fields: Vec<Field>,
}

/// Why an element is no data form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DataFormError {
    /// Another element.
    #[error("not a data form")]
    WrongElement,
    /// The type is missing or unknown.
    #[error("a data form without a known type")]
    Kind,
}

impl DataForm {
    /// A form whose `FORM_TYPE` is `form_type` and that has no other fields yet.
    #[must_use]
    pub fn new(kind: FormKind, form_type: &str) -> Self {
        let field = Field {
            var: "FORM_TYPE".to_owned(),
            kind: Some("hidden".to_owned()),
            label: None,
            values: vec![form_type.to_owned()],
        };
        Self {
            kind,
            fields: vec![field],
        }
    }

    /// Adds a field. An empty `kind` leaves the type out.
    #[must_use]
    pub fn field(mut self, var: &str, kind: &str, label: &str, value: Option<&str>) -> Self {
        self.fields.push(Field {
            var: var.to_owned(),
            kind: (!kind.is_empty()).then(|| kind.to_owned()),
            label: (!label.is_empty()).then(|| label.to_owned()),
            values: value.map(str::to_owned).into_iter().collect(),
        });
        self
    }

    /// First value of the field `var`; the empty string when the field is there without a value.
    #[must_use]
    pub fn get(&self, var: &str) -> Option<&str> {
        let field = self.fields.iter().find(|field| field.var == var)?;
        Some(field.values.first().map_or("", String::as_str))
    }

    /// The field `var` as a boolean: `1` and `true`, `0`, `false` and nothing at all. `None` when it is absent or
    /// something else.
    #[must_use]
    pub fn flag(&self, var: &str) -> Option<bool> {
        match self.get(var)? {
            "1" | "true" => Some(true),
            "0" | "false" | "" => Some(false),
            _ => None,
        }
    }

    /// Value of `FORM_TYPE`.
    #[must_use]
    pub fn form_type(&self) -> Option<&str> {
        self.get("FORM_TYPE")
    }
}

impl TryFrom<&Element> for DataForm {
    type Error = DataFormError;

    fn try_from(element: &Element) -> Result<Self, DataFormError> {
        if !element.is("x", NS) {
            return Err(DataFormError::WrongElement);
        }
        let kind = match element.attr("type") {
            Some("form") => FormKind::Form,
            Some("submit") => FormKind::Submit,
            Some("cancel") => FormKind::Cancel,
            Some("result") => FormKind::Result,
            _ => return Err(DataFormError::Kind),
        };
        let fields = element
            .children()
            .filter(|child| child.is("field", NS))
            .filter_map(|child| {
                Some(Field {
                    var: child.attr("var")?.to_owned(),
                    kind: child.attr("type").map(str::to_owned),
                    label: child.attr("label").map(str::to_owned),
                    values: child
                        .children()
                        .filter(|value| value.is("value", NS))
                        .map(Element::text)
                        .collect(),
                })
            });
        Ok(Self {
            kind,
            fields: fields.collect(),
        })
    }
}

impl From<DataForm> for Element {
    fn from(form: DataForm) -> Self {
        let fields = form.fields.into_iter().map(|field| {
            element("field", NS)
                .attr("var", field.var)
                .attr_opt("type", field.kind)
                .attr_opt("label", field.label)
                .children(
                    field
                        .values
                        .into_iter()
                        .map(|value| element("value", NS).text(value)),
                )
        });
        element("x", NS)
            .attr("type", form.kind.as_str())
            .children(fields)
            .done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let form = DataForm::new(FormKind::Submit, "urn:example")
            .field("a", "text-single", "A", Some("1"))
            .field("b", "", "", None)
            .field("c", "", "", Some("maybe"));
        let element = Element::from(form.clone());
        assert_eq!(DataForm::try_from(&element), Ok(form.clone()));
        assert_eq!(form.form_type(), Some("urn:example"));
        assert_eq!(
            (form.flag("a"), form.flag("b"), form.flag("c")),
            (Some(true), Some(false), None)
        );
        assert_eq!((form.get("b"), form.get("d")), (Some(""), None));
    }

    #[test]
    fn refuses_other_elements_and_types() {
        let other = Element::bare("x", "jabber:client");
        assert_eq!(DataForm::try_from(&other), Err(DataFormError::WrongElement));
        let untyped = Element::bare("x", NS);
        assert_eq!(DataForm::try_from(&untyped), Err(DataFormError::Kind));
    }
}
