"""Other libraries' views of what happens: each module stands on one optional library, and nothing imports it."""
