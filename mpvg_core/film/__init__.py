"""What is kept: takes on disk, the way of a shot, and the film, contact sheet and record made from stored takes."""
