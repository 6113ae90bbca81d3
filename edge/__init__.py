"""The edge of CHAS: a doorman in front of the house. It keeps the secrets and knows no rules."""
