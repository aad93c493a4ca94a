//! What can be found: one table, from which the ids, the groups, the default operators and the docs come.

use crate::Operator;
use std::fmt;

/// A group of entities, which a configuration can name as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Ways to reach a person.
    Contact,
    /// Cards and accounts.
    Payment,
    /// Numbers that a state or an insurance gives a person.
    Identity,
    /// Addresses of machines and devices.
    Network,
    /// Where somebody is, when somebody was born.
    PlaceTime,
    /// What lets its holder in.
    Secret,
    /// Values that nothing but the name of their field gives away.
    Key,
    /// What the user adds, and what could not be read.
    Other,
}

impl Group {
    /// All groups, in the order of the docs.
    pub const ALL: [Self; 8] = [
        Self::Contact,
        Self::Payment,
        Self::Identity,
        Self::Network,
        Self::PlaceTime,
        Self::Secret,
        Self::Key,
        Self::Other,
    ];

    /// The name in configurations, in lower snake case.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Payment => "payment",
            Self::Identity => "identity",
            Self::Network => "network",
            Self::PlaceTime => "place_time",
            Self::Secret => "secret",
            Self::Key => "key",
            Self::Other => "other",
        }
    }
}

macro_rules! entities {
    ($($name:ident $id:literal $presidio:literal $group:ident $operator:ident $how:literal;)*) => {
        /// A kind of personal data or secret.
        ///
        /// The order is the priority: of two matches of the same bytes, that of the earlier entity stands.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Entity {
            $(#[doc = $how] $name,)*
        }

        impl Entity {
            /// All entities, in the order of their priority.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The id, in lower snake case: the `type` in all that the project writes.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// Presidio's name of the entity, or `-` where it has none.
            pub const fn presidio(self) -> &'static str {
                match self { $(Self::$name => $presidio,)* }
            }

            /// The group.
            pub const fn group(self) -> Group {
                match self { $(Self::$name => Group::$group,)* }
            }

            /// How it is known, for the docs.
            pub const fn how(self) -> &'static str {
                match self { $(Self::$name => $how,)* }
            }

            /// What is done with it where the configuration says nothing.
            pub const fn default_operator(self) -> Operator {
                match self { $(Self::$name => Operator::$operator,)* }
            }
        }
    };
}

entities! {
    PrivateKey "private_key" "-" Secret Drop "PEM block, BEGIN to END, of any kind of PRIVATE KEY";
    Jwt "jwt" "-" Secret TOKEN "three base64url parts, a header with `alg`; `alg` is kept";
    ApiToken "api_token" "-" Secret Drop "a vendor's prefix, length, alphabet and entropy; GitHub's and npm's CRC-32";
    UrlCredentials "url_credentials" "-" Secret Drop "`scheme://user:password@`";
    UrlSignature "url_signature" "-" Secret REDACTED "the signature keys of OpenTelemetry's list, case-sensitive in a text";
    CryptoWallet "crypto_wallet" "CRYPTO" Secret LAST_4 "base58check, bech32, EIP-55; Monero";
    Email "email" "EMAIL_ADDRESS" Contact TOKEN "local part of at most 64 bytes, domain labels, a top-level domain of letters";
    Card "card" "CREDIT_CARD" Payment LAST_4 "13 to 19 digits: Luhn, issuer and the brand's length";
    Iban "iban" "IBAN_CODE" Payment ENDS "the country's length, mod 97";
    Imei "imei" "-" Network LAST_2 "15 digits, Luhn; context";
    Vin "vin" "-" Network LAST_4 "17 letters and digits, check digit";
    Ipv6 "ipv6" "IP_ADDRESS" Network Truncate "RFC 4291; cut to /48";
    Ipv4 "ipv4" "IP_ADDRESS" Network Truncate "four octets, no version number; cut to /24";
    Mac "mac" "MAC_ADDRESS" Network LAST_2 "six octets with one separator";
    UsSsn "us_ssn" "US_SSN" Identity Drop "area, group and serial rules; nine bare digits need context";
    UsItin "us_itin" "US_ITIN" Identity Drop "9 and the groups in use; nine bare digits need context";
    UsNpi "us_npi" "US_NPI" Identity LAST_2 "Luhn with 80840 before it; context";
    UsDea "us_dea" "MEDICAL_LICENSE" Identity LAST_2 "two letters, seven digits, check digit";
    UsAba "us_aba" "ABA_ROUTING_NUMBER" Payment LAST_2 "weights 3 7 1; context";
    UkNino "uk_nino" "UK_NINO" Identity LAST_2 "prefix and suffix rules";
    UkNhs "uk_nhs" "UK_NHS" Identity LAST_2 "mod 11; bare digits need context";
    UkUtr "uk_utr" "-" Identity LAST_2 "mod 11; context";
    EsNif "es_nif" "ES_NIF" Identity LAST_2 "letter of mod 23";
    EsNie "es_nie" "ES_NIE" Identity LAST_2 "letter of mod 23";
    EsNuss "es_nuss" "-" Identity LAST_2 "mod 97; context";
    ItFiscalCode "it_fiscal_code" "IT_FISCAL_CODE" Identity LAST_2 "check letter, also with substituted digits";
    FrNir "fr_nir" "-" Identity LAST_2 "month and mod 97, also of Corsica";
    FrSpi "fr_spi" "-" Identity LAST_2 "mod 511; context";
    DeTaxId "de_tax_id" "DE_TAX_ID" Identity LAST_2 "ISO 7064 mod 11,10 and the rule of repeated digits; context";
    DeIdCard "de_id_card" "-" Identity LAST_2 "weights 7 3 1; context";
    DeSvnr "de_svnr" "-" Identity LAST_2 "date, letter and cross sums";
    PlPesel "pl_pesel" "PL_PESEL" Identity LAST_2 "date and weights 1 3 7 9; context";
    PlNip "pl_nip" "-" Identity LAST_2 "mod 11; context";
    NlBsn "nl_bsn" "-" Identity LAST_2 "eleven test; context";
    NlPassport "nl_passport" "-" Identity LAST_2 "weights 7 3 1; context";
    BeNrn "be_nrn" "-" Identity LAST_2 "date and mod 97; bare digits need context";
    PtNif "pt_nif" "-" Identity LAST_2 "mod 11; context";
    SePersonnummer "se_personnummer" "SE_PERSONNUMMER" Identity LAST_2 "date and Luhn, also coordination numbers; bare digits need context";
    FiHetu "fi_hetu" "FI_PERSONAL_IDENTITY_CODE" Identity LAST_2 "date, century sign, character of mod 31";
    DkCpr "dk_cpr" "-" Identity LAST_2 "date and hyphen, or context (mod 11 has not held since 2007)";
    NoFodselsnummer "no_fodselsnummer" "-" Identity LAST_2 "date and two of mod 11; context";
    RoCnp "ro_cnp" "-" Identity LAST_2 "date and mod 11; context";
    CzRodneCislo "cz_rodne_cislo" "-" Identity LAST_2 "date and mod 11; bare digits need context";
    BgEgn "bg_egn" "-" Identity LAST_2 "date and mod 11; context";
    IePps "ie_pps" "-" Identity LAST_2 "letter of mod 23";
    AtSvnr "at_svnr" "-" Identity LAST_2 "mod 11; context";
    EeIsikukood "ee_isikukood" "-" Identity LAST_2 "date and two stages of mod 11; context";
    LtAsmensKodas "lt_asmens_kodas" "-" Identity LAST_2 "date and two stages of mod 11; context";
    LvPersonasKods "lv_personas_kods" "-" Identity LAST_2 "mod 11; bare digits need context";
    LuNin "lu_nin" "-" Identity LAST_2 "date, Luhn and Verhoeff; context";
    GrAmka "gr_amka" "-" Identity LAST_2 "date and Luhn; context";
    GrAfm "gr_afm" "-" Identity LAST_2 "mod 11; context";
    HuTin "hu_tin" "-" Identity LAST_2 "mod 11; context";
    HrOib "hr_oib" "-" Identity LAST_2 "ISO 7064 mod 11,10; context";
    SiEmso "si_emso" "-" Identity LAST_2 "date and mod 11; context";
    SiTin "si_tin" "-" Identity LAST_2 "mod 11; context";
    CnRic "cn_ric" "-" Identity LAST_2 "date, ISO 7064 mod 11,2";
    KrRrn "kr_rrn" "KR_RRN" Identity LAST_2 "date and mod 11; bare digits need context";
    InAadhaar "in_aadhaar" "IN_AADHAAR" Identity LAST_2 "Verhoeff; bare digits need context";
    InPan "in_pan" "IN_PAN" Identity LAST_2 "shape and the letter of the holder's kind";
    SgNric "sg_nric" "SG_NRIC_FIN" Identity LAST_2 "letter of mod 11, series S T F G M";
    ZaId "za_id" "-" Identity LAST_2 "date and Luhn; context";
    BrCpf "br_cpf" "-" Identity LAST_2 "two of mod 11; bare digits need context";
    BrCnpj "br_cnpj" "-" Identity LAST_2 "two of mod 11, also with letters; without separators it needs context";
    AuTfn "au_tfn" "AU_TFN" Identity LAST_2 "mod 11; context";
    AuAbn "au_abn" "AU_ABN" Identity LAST_2 "mod 89; context";
    AuMedicare "au_medicare" "AU_MEDICARE" Identity LAST_2 "weights 1 3 7 9; context";
    CaSin "ca_sin" "-" Identity LAST_2 "Luhn; context";
    Phone "phone" "PHONE_NUMBER" Contact LAST_2 "`+`, a country code and its lengths; a national format needs context";
    Coordinates "coordinates" "-" PlaceTime Truncate "a pair in range with 4 decimals or more; context; cut to one decimal";
    DateOfBirth "date_of_birth" "DATE_TIME" PlaceTime Truncate "a date in context; cut to the year";
    Password "password" "-" Key Drop "the field's name";
    Secret "secret" "-" Key Drop "the field's name: keys, tokens, sessions, credentials";
    CardSecurityCode "card_security_code" "-" Key Drop "the field's name";
    BankAccount "bank_account" "US_BANK_NUMBER" Key LAST_2 "the field's name";
    NationalId "national_id" "-" Key Drop "the field's name, where it does not say whose number it is";
    Passport "passport" "US_PASSPORT" Key Drop "the field's name";
    DrivingLicence "driving_licence" "US_DRIVER_LICENSE" Key Drop "the field's name";
    Name "name" "PERSON" Key Drop "the field's name";
    Address "address" "LOCATION" Key Drop "the field's name";
    Custom "custom" "-" Other Drop "the user's own keys, literals and regexes";
    Undecodable "undecodable" "-" Other Drop "encoded more often than the budget allows, or longer";
}

impl Entity {
    /// The entity of an id.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|entity| entity.id() == id)
    }

    /// The place in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether its values are numbers that somebody gives, so that the word for one may stand behind the name.
    pub(crate) fn has_number(self) -> bool {
        matches!(self.group(), Group::Payment | Group::Identity)
            || matches!(self, Self::Phone | Self::Imei | Self::Vin)
    }

    /// Whether all values are so few that an unkeyed hash of one can be tried out: numbers, addresses and dates, not free text.
    pub fn is_small_domain(self) -> bool {
        matches!(self.group(), Group::Payment | Group::Identity | Group::Network | Group::PlaceTime)
            || matches!(self, Self::Phone | Self::CardSecurityCode | Self::BankAccount | Self::NationalId)
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A set of entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Set(u128);

impl Set {
    /// No entity.
    pub const EMPTY: Self = Self(0);

    /// Every entity.
    pub fn all() -> Self {
        Entity::ALL.iter().fold(Self::EMPTY, |set, entity| set.with(*entity))
    }

    /// The set with an entity more.
    #[must_use]
    #[inline]
    pub const fn with(self, entity: Entity) -> Self {
        Self(self.0 | 1 << entity as u8)
    }

    /// The set with an entity less.
    #[must_use]
    pub const fn without(self, entity: Entity) -> Self {
        Self(self.0 & !(1 << entity as u8))
    }

    /// The set without those of another.
    #[must_use]
    pub const fn and_not(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The entities in the set, in the order of their priority.
    pub fn iter(self) -> impl Iterator<Item = Entity> {
        Entity::ALL.iter().copied().filter(move |entity| self.has(*entity))
    }

    /// Whether no entity is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both sets in one.
    #[must_use]
    #[inline]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    #[inline]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the entity is in the set.
    #[inline]
    pub const fn has(self, entity: Entity) -> bool {
        self.0 & 1 << entity as u8 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Entity, Set};

    #[test]
    fn ids_are_lower_snake_case_unique_and_fit_a_set() {
        assert!(Entity::ALL.len() <= 128);
        for (index, entity) in Entity::ALL.iter().enumerate() {
            assert_eq!(entity.index(), index);
            assert_eq!(Entity::from_id(entity.id()), Some(*entity));
            assert!(
                entity.id().bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')),
                "{entity}"
            );
        }
        let set = Set::EMPTY.with(Entity::Card).with(Entity::Email).without(Entity::Email);
        assert!(set.has(Entity::Card) && !set.has(Entity::Email) && Set::all().has(Entity::Undecodable));
    }
}
