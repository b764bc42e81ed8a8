"""What a video is: decoding, sampling, transforming and encoding clips."""
