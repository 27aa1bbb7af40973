"""Figure 2 of the paper: two members climb a hill that neither sees whole, in four panels; takes some seconds."""
