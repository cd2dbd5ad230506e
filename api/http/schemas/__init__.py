"""What requests and answers hold, one file for each noun."""
