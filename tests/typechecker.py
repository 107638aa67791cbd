"""The type checker that tests put under the package: beartype, with a whole number allowed where a float is meant."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
