"""The recognition service: pictures in, labels out, and people who keep what they saw. It does not know how it is deployed."""
